/** An OTLP/HTTP collector that keeps what it is sent: spans decoded, log messages counted. */
import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { readSpans, type Span } from '../../telemetry/otlp-objects.ts';

export class OtlpSink {
  readonly spans: Span[] = [];
  logs = 0;
  readonly #server: Server;
  #waiting: (() => void)[] = [];

  constructor() {
    this.#server = createServer((request, response) => {
      const chunks: Buffer[] = [];
      request.on('data', (chunk: Buffer) => chunks.push(chunk));
      request.on('end', () => {
        if (request.url === '/v1/traces') this.spans.push(...readSpans(Buffer.concat(chunks)));
        else this.logs++;
        response.writeHead(200, { 'content-type': 'application/x-protobuf' }).end();
        for (const wake of this.#waiting.splice(0)) wake();
      });
    });
  }

  async start(): Promise<this> {
    this.#server.listen(0, '127.0.0.1');
    await once(this.#server, 'listening');
    return this;
  }

  get endpoint(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  /** The first `count` spans, once they are here. */
  async until(count: number): Promise<readonly Span[]> {
    while (this.spans.length < count) {
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    }
    return this.spans;
  }

  stop(): void {
    this.#server.close();
    this.#server.closeAllConnections();
  }
}
