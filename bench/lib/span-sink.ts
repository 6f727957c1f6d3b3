/**
 * A healthy OTLP/HTTP collector that only counts: spans by what the message holds, protobuf by our
 * own checked reader, JSON by JSON.parse. GET /count tells. Arguments: port.
 */
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { readTraces } from '../../telemetry/otlp-objects.ts';

interface JsonTraces {
  resourceSpans?: { scopeSpans?: { spans?: unknown[] }[] }[];
}

let spans = 0;
const server = createServer((request, response) => {
  if (request.method === 'GET') {
    response.end(JSON.stringify({ spans }));
    return;
  }
  const chunks: Buffer[] = [];
  request.on('data', (chunk: Buffer) => chunks.push(chunk));
  request.on('end', () => {
    const body = Buffer.concat(chunks);
    if (request.url === '/v1/traces') {
      const json = request.headers['content-type']?.includes('json') === true;
      const traces: JsonTraces = json
        ? (JSON.parse(body.toString()) as JsonTraces)
        : readTraces(body);
      for (const r of traces.resourceSpans ?? [])
        for (const s of r.scopeSpans ?? []) spans += s.spans?.length ?? 0;
    }
    response.setHeader('content-type', 'application/json');
    response.end('{}');
  });
});
server.keepAliveTimeout = 60_000;
server.listen(Number(process.argv[2] ?? 0), '127.0.0.1', () => {
  console.log(JSON.stringify({ port: (server.address() as AddressInfo).port }));
});
