/** The OTLP exporter against a real TLS server, with certificates made here. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createServer, type ServerOptions } from 'node:https';
import type { AddressInfo, Socket } from 'node:net';
import { TLSSocket, type PeerCertificate } from 'node:tls';
import { gunzipSync, zstdDecompressSync } from 'node:zlib';
import { readTlsFiles } from '../../../runtime/tls-files.ts';
import type { OutboundMessage } from '../../../transport/exporter.ts';
import { createOtlpHttpExporter } from '../../../transport/otlp-http-exporter.ts';
import { makeCertificates, type Certificates } from '../../helpers/certificates.ts';

const MESSAGE: OutboundMessage = {
  signal: 'traces',
  body: Buffer.from('spans '.repeat(50)),
  items: 1,
};

interface Received {
  readonly authorization: string | undefined;
  readonly encoding: string | undefined;
  readonly body: Buffer;
  /** Common name of the client's certificate. */
  readonly client: string | undefined;
}

/** Common name of the client's certificate; undefined when it showed none. */
function nameOf(socket: Socket): string | undefined {
  assert.ok(socket instanceof TLSSocket);
  const certificate: Partial<PeerCertificate> = socket.getPeerCertificate();
  return certificate.subject?.CN?.toString();
}

describe('OtlpHttpExporter over TLS', () => {
  let certificates: Certificates;
  before(function () {
    certificates = makeCertificates(this);
  });
  after(() => certificates.remove());

  /** A collector with TLS for the time of `run`. */
  async function withCollector(
    options: ServerOptions,
    run: (port: number, received: readonly Received[]) => Promise<void>,
  ): Promise<void> {
    const received: Received[] = [];
    const { cert, key } = certificates.server;
    const server = createServer(
      { cert: readFileSync(cert), key: readFileSync(key), ...options },
      (req, res) => {
        const chunks: Buffer[] = [];
        req.on('data', (chunk: Buffer) => chunks.push(chunk));
        req.on('end', () => {
          received.push({
            authorization: req.headers.authorization,
            encoding: req.headers['content-encoding'],
            body: Buffer.concat(chunks),
            client: nameOf(req.socket),
          });
          res.end();
        });
      },
    ).listen(0, '127.0.0.1');
    await once(server, 'listening');
    try {
      await run((server.address() as AddressInfo).port, received);
    } finally {
      server.closeAllConnections();
      server.close();
    }
  }

  it('trusts the authority that it was given, and sends the token', () =>
    withCollector({}, async (port, received) => {
      const exporter = createOtlpHttpExporter({
        endpoint: `https://127.0.0.1:${port}`,
        tls: readTlsFiles({ ca: certificates.ca }),
        token: 'a-token',
      });
      await exporter.send(MESSAGE);
      assert.deepEqual(received, [
        {
          authorization: 'Bearer a-token',
          encoding: undefined,
          body: MESSAGE.body,
          client: undefined,
        },
      ]);
      await exporter.close();
    }));

  it('sends nothing to a server of another authority, and may try again', () =>
    withCollector({}, async (port, received) => {
      for (const tls of [undefined, readTlsFiles({ ca: certificates.otherCa })]) {
        const exporter = createOtlpHttpExporter({
          endpoint: `https://127.0.0.1:${port}`,
          tls,
          token: 'a-token',
        });
        await assert.rejects(exporter.send(MESSAGE), (error: Error) => {
          assert.equal((error as { retryable?: boolean }).retryable, true);
          assert.match(error.message, /certificate/);
          assert.doesNotMatch(error.message, /a-token/);
          return true;
        });
        await exporter.close();
      }
      assert.deepEqual(received, []);
    }));

  it('asks for the server_name, and takes no other', () =>
    withCollector({}, async (port, received) => {
      const send = async (server_name: string): Promise<void> => {
        const exporter = createOtlpHttpExporter({
          endpoint: `https://127.0.0.1:${port}`,
          tls: readTlsFiles({ ca: certificates.ca, server_name }),
        });
        try {
          await exporter.send(MESSAGE);
        } finally {
          await exporter.close();
        }
      };
      await send('collector.test');
      assert.equal(received.length, 1);
      await assert.rejects(send('elsewhere.test'), /elsewhere\.test/);
      assert.equal(received.length, 1);
    }));

  it('shows its own certificate where one is asked for, and is turned away without', () =>
    withCollector(
      { requestCert: true, rejectUnauthorized: true, ca: readFileSync(certificates.ca) },
      async (port, received) => {
        const endpoint = `https://127.0.0.1:${port}`;
        const { ca, client } = certificates;
        const known = createOtlpHttpExporter({ endpoint, tls: readTlsFiles({ ca, ...client }) });
        await known.send(MESSAGE);
        await known.close();
        const unknown = createOtlpHttpExporter({ endpoint, tls: readTlsFiles({ ca }) });
        await assert.rejects(unknown.send(MESSAGE), { retryable: true });
        await unknown.close();
        assert.deepEqual(
          received.map((one) => one.client),
          ['client'],
        );
      },
    ));

  for (const [compression, inflate] of [
    ['gzip', gunzipSync],
    ['zstd', zstdDecompressSync],
  ] as const) {
    it(`compresses with ${compression}, small and large bodies`, () =>
      withCollector({}, async (port, received) => {
        const exporter = createOtlpHttpExporter({
          endpoint: `https://127.0.0.1:${port}`,
          tls: readTlsFiles({ ca: certificates.ca }),
          compression,
        });
        const large: OutboundMessage = { ...MESSAGE, body: Buffer.from('spans '.repeat(50_000)) };
        await exporter.send(MESSAGE);
        await exporter.send(large);
        assert.deepEqual(
          received.map(({ encoding, body }) => [encoding, inflate(body)]),
          [MESSAGE, large].map(({ body }) => [compression, body]),
        );
        assert.ok(received[1]!.body.length < large.body.length / 10);
        await exporter.close();
      }));
  }
});
