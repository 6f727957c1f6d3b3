/**
 * docs/GATEWAY-FUNCTIONS.md as it stands: its example is put into a mesh file, once at a gateway and
 * once at the ingress of a merged BFF, its requests are sent, and both must do, record and time the
 * same.
 */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readFileSync, writeFileSync } from 'node:fs';
import { createServer, request, type IncomingMessage, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { parse, stringify } from 'yaml';
import { validateMesh } from '../../../mesh/load.ts';
import { proxyPart } from '../../../mesh/parts.ts';
import { Deadlines } from '../../../proxy/deadlines.ts';
import { FILTER_ORDER } from '../../../proxy/filters/order.ts';
import { DEFAULT_LIMITS } from '../../../proxy/limits.ts';
import { createProxy } from '../../../proxy/process.ts';
import { silentLog } from '../../../runtime/log.ts';
import { FUNCTIONS, RESPONSE_FLAGS } from '../../../telemetry/hop-record.ts';
import { readSpans } from '../../../telemetry/otlp-objects.ts';
import { decodeHop, type PackedHop } from '../../../telemetry/packed-hop.ts';
import { issuerKey, keySetText, token } from '../../helpers/issuer.ts';
import { scratchDir } from '../../helpers/scratch-dir.ts';

const DOC = readFileSync('docs/GATEWAY-FUNCTIONS.md', 'utf8');
const CORE = ['route', 'trace_context', 'hygiene'];

interface Example {
  functions: unknown;
  routes: { path: string; to?: string }[];
}

/** Rows of the table behind a mark, without its two heads. */
function table(mark: string): string[][] {
  const [, behind = ''] = DOC.split(`<!-- table:${mark} -->`);
  const lines = behind.trimStart().split('\n');
  const end = lines.findIndex((line) => !line.startsWith('|'));
  return lines.slice(2, end).map((line) =>
    line
      .slice(1, -1)
      .split('|')
      .map((cell) => cell.trim()),
  );
}

const example = (): Example =>
  parse(/<!-- example:functions -->\s+```yaml\n([^]*?)```/.exec(DOC)![1]!) as Example;

/** A mesh file with the example at a gateway, or at the ingress of the BFF. */
function meshFile(place: 'gateway' | 'merged', applicationPort: number): string {
  const { functions, routes } = example();
  const head = {
    file_format: '1.0',
    mesh: 'm',
    topology: place === 'gateway' ? 'separate' : 'merged',
    store: { password: '${env:PASSWORD}' },
    workloads: [{ name: 'web-bff', kind: 'bff', address: `127.0.0.1:${applicationPort}` }],
  };
  const serves = { workload: 'web-bff', inbound: { port: 15006, mesh_only: true } };
  const toBff = routes.map((route) => ({ ...route, to: 'web-bff' }));
  return stringify(
    place === 'gateway'
      ? {
          ...head,
          gateways: [{ name: 'edge', functions, routes: toBff }],
          sidecars: [{ name: 'bff-sidecar', admin: { port: 15002 }, serves: [serves] }],
        }
      : {
          ...head,
          sidecars: [
            { name: 'bff-sidecar', serves: [{ ...serves, ingress: { functions, routes } }] },
          ],
        },
  );
}

interface Done {
  readonly status: number;
  readonly flags: string;
  readonly functions: string;
  readonly timed: string;
  readonly edgeClass: unknown;
}

describe('docs/GATEWAY-FUNCTIONS.md', () => {
  const dir = scratchDir();
  let application: Server;
  let received: string[];

  beforeEach(async () => {
    received = [];
    application = createServer((req, res) => {
      received.push(`${req.method!} ${req.url!} ${String(req.headers['azimuth-consumer'])}`);
      req.resume();
      res.setHeader('x-powered-by', 'application').end('ok');
    }).listen(0, '127.0.0.1');
    await once(application, 'listening');
  });
  afterEach(() => {
    application.closeAllConnections();
    application.close();
  });

  /** What each function cost in all that `sendAll` sent last, nanoseconds. */
  let costsNs = new Map<string, number>();

  /** Sends the requests of the table, one after the other; what was recorded of each. */
  async function sendAll(place: 'gateway' | 'merged'): Promise<Done[]> {
    const key = await issuerKey('one');
    writeFileSync(join(dir.path, 'issuer-keys.json'), keySetText(key));
    const exp = Math.floor(Date.now() / 1000) + 600;
    const bearer = { authorization: `Bearer ${await token(key, { azp: 'web', exp })}` };
    const { port: applicationPort } = application.address() as AddressInfo;
    const file = join(dir.path, 'mesh.yaml');
    const { mesh, faults } = validateMesh(file, meshFile(place, applicationPort), () => 'p', '');
    assert.deepEqual(faults, []);
    const part = proxyPart(mesh!, place === 'gateway' ? 'edge' : 'bff-sidecar');
    // Of the gateway's target only the application is there, in its sidecar's place.
    const endpoints = [{ host: '127.0.0.1', port: applicationPort }];
    const listeners = part.listeners.map((listener) => ({
      ...listener,
      port: 0,
      routes: listener.routes.map((route) => ({
        ...route,
        cluster: { ...route.cluster, endpoints },
      })),
    }));
    const hops: { hop: PackedHop; edgeClass: unknown; status: number }[] = [];
    const deadlines = new Deadlines();
    const proxy = createProxy({
      part: { ...part, listeners, admin: { host: '127.0.0.1', port: 0 } },
      log: silentLog,
      deadlines,
      exporter: {
        name: 'test',
        concurrency: 1,
        send: ({ signal, body }) => {
          if (signal === 'traces') {
            for (const { attributes } of readSpans(body)) {
              hops.push({
                hop: decodeHop(attributes.get('azimuth.hop') as Uint8Array),
                edgeClass: attributes.get('azimuth.edge_class'),
                status: Number(attributes.get('http.response.status_code')),
              });
            }
          }
          return Promise.resolve();
        },
        close: () => Promise.resolve(),
      },
    });
    await proxy.start();
    const port = proxy.port(listeners[0]!.name);
    for (const [what, having] of table('requests')) {
      const [, method, path] = /`([A-Z]+) (.*)`/.exec(what!)!;
      const origin = /preflight of `(.*)`/.exec(having!)?.[1];
      const bytes = Number(/([0-9]+) bytes/.exec(having!)?.[1] ?? 0);
      const out = request({
        port,
        method: method!,
        path: path!,
        agent: false,
        headers: {
          ...(having!.startsWith('token') ? bearer : {}),
          ...(having === 'key' ? { 'x-api-key': /`(acme-.*?)`/.exec(DOC)![1]! } : {}),
          ...(origin === undefined ? {} : { origin, 'access-control-request-method': 'POST' }),
          ...(bytes === 0 ? {} : { 'content-length': bytes }),
        },
      });
      out.on('error', () => undefined);
      // Of a long body only its length is sent: it is refused by that.
      if (bytes === 0) out.end();
      else out.flushHeaders();
      const [answer] = (await once(out, 'response')) as [IncomingMessage];
      answer.resume();
      await once(answer, 'end');
      out.destroy();
      assert.equal(answer.headers['x-powered-by'], undefined, what);
      assert.equal(answer.headers['strict-transport-security'], 'max-age=63072000', what);
    }
    const stopped = proxy.stop();
    await new Promise((resolve) => setImmediate(resolve));
    deadlines.advance(DEFAULT_LIMITS.drainIdleTimeoutMs);
    await stopped;
    hops.sort((a, b) => a.hop.seq - b.hop.seq);
    costsNs = new Map();
    for (const { hop } of hops) {
      hop.phaseIds.forEach((id, i) => {
        costsNs.set(FUNCTIONS[id]!, (costsNs.get(FUNCTIONS[id]!) ?? 0) + hop.phaseNs[i]!);
      });
    }
    return hops.map(({ hop, status, edgeClass }) => ({
      status,
      flags: RESPONSE_FLAGS.filter((_, bit) => (hop.flags >> bit) & 1).join(),
      functions: FUNCTIONS.filter(
        (name, bit) => (hop.functions >> bit) & 1 && !CORE.includes(name),
      ).join(', '),
      timed: hop.phaseIds
        .map((id) => FUNCTIONS[id]!)
        .filter((name) => !CORE.includes(name))
        .join(', '),
      edgeClass,
    }));
  }

  it('says in which order filters run, and why, as the code does', () => {
    const places = FILTER_ORDER.gateway.map(({ name, why }) => [name, why]);
    assert.deepEqual(table('order'), places);
    const atEdge = new Set<unknown>(FILTER_ORDER.gateway);
    const more = FILTER_ORDER.sidecar.filter((place) => !atEdge.has(place));
    assert.deepEqual(table('order-sidecar'), more.map(({ name, why }) => [name, why])); // prettier-ignore
  });

  for (const [place, edgeClass] of [
    ['gateway', 'external_to_gateway'],
    ['merged', 'external_to_bff'],
  ] as const) {
    it(`says what becomes of the requests of its example, at ${place}`, async () => {
      const done = await sendAll(place);
      assert.deepEqual(
        done,
        table('requests').map(([, , status, flags, functions]) => ({
          status: Number(status),
          flags,
          functions,
          timed: functions,
          edgeClass,
        })),
      );
      assert.deepEqual(received, [
        'POST /api/orders web',
        'POST /api/orders web',
        'GET /api/stock acme',
        'GET /health undefined',
      ]);
    });
  }

  it('books what a function costs under one and the same phase, at a gateway and merged', async () => {
    await sendAll('gateway');
    const atGateway = costsNs;
    await sendAll('merged');
    const merged = costsNs;
    const functions = ['authn', 'cors', 'headers', 'rate_limit', 'request_size', 'rewrite'];
    assert.deepEqual([...atGateway.keys()].sort(), [...CORE, ...functions].sort());
    assert.deepEqual([...merged.keys()].sort(), [...atGateway.keys()].sort());
    for (const [place, costs] of Object.entries({ atGateway, merged })) {
      for (const [name, ns] of costs) assert.ok(ns > 0, `${name} ${place}: ${ns} ns`);
    }
  });
});
