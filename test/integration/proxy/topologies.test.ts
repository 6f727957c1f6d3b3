/**
 * The four topologies, each with all its proxies for real, by the mesh files that the demo runs. The
 * tables here are the ones of the traffic model: who called whom, and what each pass is called.
 */
import assert from 'node:assert/strict';
import { explainTrace, type Explanation } from '../../../analytics/reports/explain.ts';
import { readGatewayVsMesh } from '../../../analytics/reports/gateway-vs-mesh.ts';
import { createPipeline, type Pipeline } from '../../../collector/pipeline.ts';
import type { Topology } from '../../../demo/shop-mesh.ts';
import { silentLog } from '../../../runtime/log.ts';
import type { Perspective } from '../../../telemetry/edge-class.ts';
import { startMeshLab, type MeshLab } from '../../helpers/mesh-lab.ts';
import { startTestStore, type TestStore } from '../../helpers/store.ts';

/** What somebody outside may try to say. */
const LIES = {
  'azimuth-peer': 'workload;catalog',
  traceparent: `00-${'ab'.repeat(16)}-${'cd'.repeat(8)}-01`,
  'x-forwarded-for': '10.1.2.3',
};

interface Expected {
  /** Hops of a request that the BFF answers by one call, caller before called, indented. */
  readonly cart: string;
  /** Hops of a search, which goes by the BFF only where there is no gateway. */
  readonly search: string;
  /** Legs of both requests. */
  readonly legs: Readonly<Record<Perspective, Readonly<Record<string, number>>>>;
}

const EXPECTED: Readonly<Record<Topology, Expected>> = {
  separate: {
    cart: `
edge gateway ingress external_to_gateway
  web-bff sidecar inbound gateway_to_bff
    web-bff sidecar outbound loopback
      cart sidecar inbound bff_to_workload
        cart sidecar outbound loopback
          pricing sidecar inbound workload_to_workload
        cart sidecar outbound loopback
          pricing sidecar inbound workload_to_workload`,
    search: `
edge gateway ingress external_to_gateway
  catalog sidecar inbound gateway_to_workload`,
    legs: {
      split: { north_south: 2, east_west: 5, unknown: 0, loopback: 3, sum: 10 },
      whole: { north_south: 4, east_west: 3, unknown: 0, loopback: 3, sum: 10 },
    },
  },
  attached: {
    cart: `
edge gateway ingress external_to_gateway
  edge sidecar outbound loopback
    web-bff sidecar inbound gateway_to_bff
      web-bff sidecar outbound loopback
        cart sidecar inbound bff_to_workload
          cart sidecar outbound loopback
            pricing sidecar inbound workload_to_workload
          cart sidecar outbound loopback
            pricing sidecar inbound workload_to_workload`,
    search: `
edge gateway ingress external_to_gateway
  edge sidecar outbound loopback
    catalog sidecar inbound gateway_to_workload`,
    legs: {
      split: { north_south: 2, east_west: 5, unknown: 0, loopback: 5, sum: 12 },
      whole: { north_south: 4, east_west: 3, unknown: 0, loopback: 5, sum: 12 },
    },
  },
  shared: {
    cart: `
edge gateway ingress external_to_gateway
  web-bff sidecar inbound gateway_to_bff
    web-bff sidecar outbound loopback
      cart sidecar inbound bff_to_workload
        cart sidecar outbound loopback
          pricing sidecar inbound workload_to_workload
        cart sidecar outbound loopback
          pricing sidecar inbound workload_to_workload`,
    search: `
edge gateway ingress external_to_gateway
  edge sidecar outbound loopback
    catalog sidecar inbound gateway_to_workload`,
    legs: {
      split: { north_south: 2, east_west: 5, unknown: 0, loopback: 4, sum: 11 },
      whole: { north_south: 4, east_west: 3, unknown: 0, loopback: 4, sum: 11 },
    },
  },
  merged: {
    cart: `
web-bff sidecar ingress external_to_bff
  web-bff sidecar outbound loopback
    cart sidecar inbound gateway_bff_to_workload
      cart sidecar outbound loopback
        pricing sidecar inbound workload_to_workload
      cart sidecar outbound loopback
        pricing sidecar inbound workload_to_workload`,
    search: `
web-bff sidecar ingress external_to_bff
  web-bff sidecar outbound loopback
    catalog sidecar inbound gateway_bff_to_workload`,
    legs: {
      split: { north_south: 2, east_west: 4, unknown: 0, loopback: 4, sum: 10 },
      whole: { north_south: 4, east_west: 2, unknown: 0, loopback: 4, sum: 10 },
    },
  },
};

interface Entry {
  readonly trace: string;
  readonly path: string;
  readonly links: readonly string[];
}

interface Peer {
  readonly side: string;
  readonly service: string;
  readonly peer: string;
  readonly role: string;
  readonly known: string;
}

describe('Topology', function () {
  this.timeout(60_000);
  let store: TestStore;
  before(async () => {
    store = await startTestStore();
  });
  after(() => store.stop());

  for (const [topology, expected] of Object.entries(EXPECTED) as [Topology, Expected][]) {
    describe(topology, () => {
      let lab: MeshLab;
      let pipeline: Pipeline;
      let entries: readonly Entry[];
      const fromMs = Date.now();
      before(async () => {
        for (const table of ['spans', 'ledgers']) {
          await store.client.command(`TRUNCATE TABLE ${table}`);
        }
        pipeline = createPipeline({
          store: store.client,
          log: silentLog,
          rowsMax: 8_000,
          batchIntervalMs: 5,
          bytesInFlightMax: 1e9,
          now: Date.now,
          retentionDays: 7,
        });
        pipeline.start();
        lab = await startMeshLab(topology, async ({ signal, body }) => {
          const source = { name: 'lab', partition: 0, offset: 0 };
          await pipeline.accept([{ signal, encoding: 'protobuf', body, source }]);
        });
        assert.equal(await lab.send('GET', '/api/carts/7', LIES), 200);
        assert.equal(await lab.send('GET', '/api/search?q=3', LIES), 200);
        await lab.stop();
        entries = await store.client.query<Entry>(
          `SELECT TraceId AS trace, Route AS path, \`Links.TraceId\` AS links FROM spans
           WHERE Side = 'ingress' ORDER BY path`,
        );
      });
      after(() => pipeline.stop());

      const explained = async (index: number): Promise<Explanation> =>
        explainTrace(store.client, entries[index]!.trace);

      it('gives each pass its side and edge class, below the pass that called it', async () => {
        assert.deepEqual(
          entries.map(({ path }) => path),
          ['/api/carts/{user}', '/api/search'],
        );
        assert.equal(treeOf(await explained(0)), expected.cart.trim());
        assert.equal(treeOf(await explained(1)), expected.search.trim());
      });

      it('gives each leg its direction in both perspectives, with one sum', async () => {
        const window = { fromMs: fromMs - 1000, toMs: Date.now() + 1000 };
        for (const perspective of ['split', 'whole'] as const) {
          const report = await readGatewayVsMesh(store.client, window, perspective, {
            retentionDays: 7,
          });
          assert.equal(report.requests, 2);
          assert.deepEqual(report.legs, expected.legs[perspective], perspective);
          assert.deepEqual(report.topologies, [topology]);
        }
      });

      it('splits each request completely: the parts sum to it, and nothing is left over', async () => {
        for (const trace of [await explained(0), await explained(1)]) {
          assert.deepEqual(trace.incomplete, []);
          assert.equal(trace.kinds.residual, 0);
          const sumNs = Object.values(trace.kinds).reduce(
            (sum, ms) => sum + Math.round(ms * 1e6),
            0,
          );
          assert.equal(sumNs, Math.round(trace.duration_ms * 1e6));
          // The functions of a gateway cost something wherever they run.
          assert.ok(trace.kinds.gateway > 0);
        }
      });

      it('believes nothing that a client says of who it is and whose trace this is', async () => {
        for (const { trace, links } of entries) {
          assert.notEqual(trace, 'ab'.repeat(16));
          assert.deepEqual(links, ['ab'.repeat(16)]);
        }
        const [entry] = await peersOf(`Side = 'ingress'`);
        assert.deepEqual([entry?.peer, entry?.role, entry?.known], ['', 'external', 'listener']);
        for (const [name, heads] of lab.received) {
          for (const head of heads) {
            assert.equal(head['azimuth-peer'], undefined, name);
            if (name !== 'web-bff') continue;
            assert.doesNotMatch(String(head['x-forwarded-for']), /10\.1\.2\.3/);
          }
        }
        assert.ok(lab.received.get('web-bff')!.length > 0);
      });

      it('knows the caller of each pass by the listener, or by its certificate', async () => {
        const peers = await peersOf(`Side != 'ingress'`);
        for (const { side, service, peer, role, known } of peers) {
          const text = `${service} ${side}: ${role} ${peer} by ${known}`;
          if (side === 'outbound') {
            // Who calls through his own sidecar is known by the port.
            assert.equal(peer, service, text);
            assert.equal(known, 'listener', text);
            continue;
          }
          const shares = topology === 'shared' && service === 'web-bff';
          assert.equal(known, shares ? 'listener' : 'mtls', text);
          const caller = { cart: 'web-bff', pricing: 'cart', 'web-bff': 'edge', catalog: 'edge' };
          const merged = topology === 'merged' && service === 'catalog';
          assert.equal(peer, merged ? 'web-bff' : caller[service as keyof typeof caller], text);
        }
        const roles = new Map(peers.map(({ peer, role }) => [peer, role]));
        assert.equal(roles.get('web-bff'), topology === 'merged' ? 'gateway_bff' : 'bff');
        assert.equal(roles.get('cart'), 'workload');
        assert.equal(roles.get('edge'), topology === 'merged' ? undefined : 'gateway');
      });

      const peersOf = (where: string): Promise<Peer[]> =>
        store.client.query<Peer>(
          `SELECT DISTINCT toString(Side) AS side, ServiceName AS service, Peer AS peer,
             toString(PeerRole) AS role, toString(PeerKnown) AS known
           FROM spans WHERE HopVersion > 0 AND ${where}`,
        );
    });
  }
});

/** One line a hop, below its caller; calls side by side in the order of their names. */
function treeOf({ hops }: Explanation): string {
  const below = (caller: number | null, depth: number): string[] =>
    hops
      .map((hop, index) => ({ hop, index }))
      .filter(({ hop }) => hop.caller === caller)
      .map(({ hop: { service, role, side, edge_class: edge }, index }) =>
        [
          `${'  '.repeat(depth)}${service} ${role} ${side} ${edge}`,
          ...below(index, depth + 1),
        ].join('\n'),
      )
      .sort();
  return below(null, 0).join('\n');
}
