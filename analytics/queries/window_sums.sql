-- Columns of sums over rows of window_rows.sql, for the SELECT of every query that groups them.
sum(Hops) AS hops,
sumIf(Hops, StatusClass = 0 OR StatusClass >= 5) AS errors,
sumIf(Hops, StreamClass != '') AS streams,
sum(Attempts) AS attempts,
sum(BytesIn) AS bytes_in,
sum(BytesOut) AS bytes_out,
sum(DurationNs) AS duration_ns,
sum(WaitNs) AS wait_ns,
sum(UpstreamNs) AS upstream_ns,
sum(BackoffNs) AS backoff_ns,
sum(OwnNs) AS own_ns,
-- Pairs [bucket, hops], since a Map's keys would become strings in JSON.
arrayZip(mapKeys(sumMap(Latency)), mapValues(sumMap(Latency))) AS latency,
arrayZip(mapKeys(sumMap(Own)), mapValues(sumMap(Own))) AS own
