/**
 * A plain node:http forwarder traced with the OpenTelemetry SDK: one SERVER and one CLIENT span a
 * request, W3C context continued, exported over OTLP/HTTP. Its queue is set large enough to lose
 * nothing at a healthy collector. Arguments: port, upstream port, collector port.
 */
import http from 'node:http';
import type { AddressInfo } from 'node:net';
import { context, propagation, SpanKind, trace } from '@opentelemetry/api';
import { OTLPTraceExporter } from '@opentelemetry/exporter-trace-otlp-http';
import { NodeSDK } from '@opentelemetry/sdk-node';
import { BatchSpanProcessor } from '@opentelemetry/sdk-trace';

const [port = '0', upstream = '0', collector = '0'] = process.argv.slice(2);
const exporter = new OTLPTraceExporter({ url: `http://127.0.0.1:${collector}/v1/traces` });
const sdk = new NodeSDK({
  serviceName: 'node-otel',
  spanProcessors: [
    new BatchSpanProcessor({
      exporter,
      maxQueueSize: 65_536,
      maxExportBatchSize: 4096,
      scheduledDelayMillis: 200,
    }),
  ],
});
sdk.start();
const tracer = trace.getTracer('bench');
const agent = new http.Agent({ keepAlive: true, maxSockets: 256 });

const server = http.createServer((request, response) => {
  const parent = propagation.extract(context.active(), request.headers);
  const attributes = {
    'http.request.method': request.method ?? '',
    'url.scheme': 'http',
    'http.route': '/bench/item',
    'network.protocol.version': '1.1',
  };
  const span = tracer.startSpan('GET /bench/item', { kind: SpanKind.SERVER, attributes }, parent);
  const client = tracer.startSpan(
    'GET',
    {
      kind: SpanKind.CLIENT,
      attributes: { 'http.request.method': request.method ?? '', 'server.address': '127.0.0.1' },
    },
    trace.setSpan(parent, span),
  );
  const headers = { ...request.headers };
  propagation.inject(trace.setSpan(parent, client), headers);
  const out = http.request(
    {
      host: '127.0.0.1',
      port: Number(upstream),
      path: request.url,
      method: request.method,
      headers,
      agent,
    },
    (answer) => {
      response.writeHead(answer.statusCode ?? 502, answer.headers);
      answer.pipe(response);
      answer.on('end', () => {
        client.setAttribute('http.response.status_code', answer.statusCode ?? 0).end();
        span.setAttribute('http.response.status_code', answer.statusCode ?? 0).end();
      });
    },
  );
  out.on('error', () => {
    response.statusCode = 502;
    response.end();
  });
  request.pipe(out);
});
server.listen(Number(port), '127.0.0.1', () => {
  console.log(JSON.stringify({ port: (server.address() as AddressInfo).port }));
});
process.on('SIGTERM', () => {
  void sdk.shutdown().then(() => process.exit(0));
});
