/**
 * Tracing of a shop service with the OpenTelemetry SDK, as an application would have it: a SERVER
 * span continues the trace that the sidecar hands in, a CLIENT span goes out with each call, so
 * that the mesh's hops and the application's spans are one trace. Obeys OTEL_* variables.
 */
import {
  context,
  propagation,
  SpanKind,
  SpanStatusCode,
  trace,
  type Attributes,
} from '@opentelemetry/api';
import { OTLPTraceExporter } from '@opentelemetry/exporter-trace-otlp-http';
import { NodeSDK } from '@opentelemetry/sdk-node';
import type { IncomingHttpHeaders } from 'node:http';

/** Starts the SDK; the answer flushes what is left and stops it. */
export function startTracing(serviceName: string): () => Promise<void> {
  const sdk = new NodeSDK({
    serviceName,
    traceExporter: new OTLPTraceExporter(),
    // Traces only: nothing in the shop writes metrics or logs.
    metricReaders: [],
    logRecordProcessors: [],
  });
  sdk.start();
  return () => sdk.shutdown();
}

const tracer = trace.getTracer('azimuth-demo-shop');

/** Runs `work` within a SERVER span whose parent is the caller; `work` answers with the status. */
export function inServerSpan(
  name: string,
  headers: IncomingHttpHeaders,
  attributes: Attributes,
  work: () => Promise<number>,
): Promise<number> {
  const parent = propagation.extract(context.active(), headers);
  return inSpan(name, SpanKind.SERVER, attributes, parent, 500, work);
}

/** Runs `work` within a CLIENT span; it gets the headers that carry the trace on. */
export function inClientSpan(
  name: string,
  attributes: Attributes,
  work: (headers: Record<string, string>) => Promise<number>,
): Promise<number> {
  return inSpan(name, SpanKind.CLIENT, attributes, context.active(), 400, () => {
    const headers: Record<string, string> = {};
    propagation.inject(context.active(), headers);
    return work(headers);
  });
}

/** Statuses from `errorFrom` on make the span an error, as the semantic conventions say. */
function inSpan(
  name: string,
  kind: SpanKind,
  attributes: Attributes,
  parent: ReturnType<typeof context.active>,
  errorFrom: number,
  work: () => Promise<number>,
): Promise<number> {
  return tracer.startActiveSpan(name, { kind, attributes }, parent, async (span) => {
    try {
      const status = await work();
      span.setAttribute('http.response.status_code', status);
      if (status >= errorFrom) {
        span.setAttribute('error.type', String(status));
        span.setStatus({ code: SpanStatusCode.ERROR });
      }
      return status;
    } catch (error) {
      span.setStatus({ code: SpanStatusCode.ERROR, message: String(error) });
      throw error;
    } finally {
      span.end();
    }
  });
}
