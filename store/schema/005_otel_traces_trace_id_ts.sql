-- Companion of otel_traces by the exporter's name: when a trace began and ended.
CREATE OR REPLACE VIEW {database}.otel_traces_trace_id_ts AS
SELECT TraceId, toDateTime(Timestamp) AS Start, toDateTime(Timestamp) AS End
FROM {database}.spans
