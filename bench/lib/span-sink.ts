/**
 * An OTLP/HTTP collector that only counts: spans by the message itself, which it skips through
 * without reading it. Healthy, slow, or away, as the control port says.
 *
 * Prints `{port, control}`. Control: GET /count, /delay/MS, /away (closes the port and what is
 * connected to it), /back. A message counts when it is answered with 200.
 */
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { gunzipSync, zstdDecompressSync } from 'node:zlib';
import { WireCursor } from '../../telemetry/protobuf.ts';

let spans = 0;
let delayMs = 0;
const cursor = new WireCursor();

/** Spans in a TracesData: fields 1 (resource_spans), 2 (scope_spans), 2 (spans). */
function countSpans(body: Buffer): number {
  cursor.reset(body);
  return countIn(body.length, 0);
}

const PATH_TO_SPANS = [1, 2, 2];
function countIn(end: number, level: number): number {
  let found = 0;
  while (cursor.position < end) {
    const tag = cursor.varint(end);
    if ((tag & 7) !== 2) {
      if ((tag & 7) === 0) cursor.varint(end);
      else cursor.position += (tag & 7) === 1 ? 8 : 4;
      continue;
    }
    const length = cursor.varint(end);
    const fieldEnd = cursor.position + length;
    if (tag >>> 3 === PATH_TO_SPANS[level]) {
      if (level === PATH_TO_SPANS.length - 1) found++;
      else found += countIn(fieldEnd, level + 1);
    }
    cursor.position = fieldEnd;
  }
  return found;
}

const server = createServer((request, response) => {
  const chunks: Buffer[] = [];
  request.on('data', (chunk: Buffer) => chunks.push(chunk));
  request.on('end', () => {
    const sent = Buffer.concat(chunks);
    const answer = (): void => {
      if (request.url === '/v1/traces') {
        const coding = request.headers['content-encoding'];
        if (coding === 'gzip') spans += countSpans(gunzipSync(sent));
        else if (coding === 'zstd') spans += countSpans(zstdDecompressSync(sent));
        else spans += countSpans(sent);
      }
      response.setHeader('content-type', 'application/x-protobuf');
      response.end();
    };
    if (delayMs === 0) answer();
    else setTimeout(() => !response.destroyed && answer(), delayMs);
  });
});
server.keepAliveTimeout = 60_000;

const listen = (on: Server, port: number): Promise<number> =>
  new Promise((resolve) => {
    on.listen(port, '127.0.0.1', () => resolve((on.address() as AddressInfo).port));
  });
const port = await listen(server, 0);

const control = createServer((request, response) => {
  const [, word, value] = (request.url ?? '').split('/');
  const done = (): void => {
    response.end(JSON.stringify({ spans }));
  };
  if (word === 'delay') delayMs = Number(value);
  if (word === 'away') {
    server.close();
    server.closeAllConnections();
  }
  if (word === 'back') void listen(server, port).then(done);
  else done();
});
console.log(JSON.stringify({ port, control: await listen(control, 0) }));
