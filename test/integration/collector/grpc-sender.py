"""Exports one span for each name given, with the Python SDK's own OTLP/gRPC exporter and its retries.

    grpc-sender.py http://127.0.0.1:4317 name...

All spans are one batch: they are handed to the exporter when the process flushes at its end.
"""

import sys

from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

endpoint, names = sys.argv[1], sys.argv[2:]
provider = TracerProvider()
exporter = OTLPSpanExporter(endpoint=endpoint, insecure=True, timeout=50)
provider.add_span_processor(BatchSpanProcessor(exporter, schedule_delay_millis=60_000))
tracer = provider.get_tracer("test")
for name in names:
    tracer.start_span(name).end()
provider.force_flush(50_000)
provider.shutdown()
