import assert from 'node:assert/strict';
import fc from 'fast-check';
import { bucketOf } from '../../../../analytics/histogram.ts';
import {
  gatewayVsMeshCsv,
  gatewayVsMeshText,
} from '../../../../analytics/reports/gateway-vs-mesh-forms.ts';
import {
  PARTS,
  gatewayVsMesh,
  type GatewayVsMesh,
} from '../../../../analytics/reports/gateway-vs-mesh.ts';
import { emptyTraffic, type Traffic, type WindowTraffic } from '../../../../analytics/traffic.ts';
import type { Reconciliation } from '../../../../analytics/reconcile.ts';
import { EDGE_CLASSES, PERSPECTIVES, type EdgeClass } from '../../../../telemetry/edge-class.ts';
import { assertGolden } from '../../../helpers/golden.ts';

const FROM = Date.UTC(2026, 10, 25, 12, 0, 0);

/** `hops` hops of one class, all of one duration and own time. */
function uniform(hops: number, durationNs: number, ownNs: number): Traffic {
  return {
    ...emptyTraffic(),
    hops,
    errors: Math.floor(hops / 300),
    attempts: hops,
    bytesIn: hops * 310,
    bytesOut: hops * 720,
    durationNs: hops * durationNs,
    ownNs: hops * ownNs,
    upstreamNs: hops * (durationNs - ownNs),
    latency: new Map([[bucketOf(durationNs), hops]]),
    own: new Map([[bucketOf(ownNs), hops]]),
  };
}

function windowOf(byEdgeClass: [EdgeClass, Traffic][]): WindowTraffic {
  return {
    window: { fromMs: FROM, toMs: FROM + 300_000 },
    finalUntilMs: FROM + 240_000,
    meshes: ['shop'],
    topologies: ['separate'],
    byEdgeClass: new Map(byEdgeClass),
    hopsByRole: new Map([
      ['gateway', 1236],
      ['sidecar', 9902],
    ]),
    cpu: [
      { role: 'gateway', processes: 1, cpuNs: 50_000_000, hops: 1230 },
      { role: 'sidecar', processes: 6, cpuNs: 380_000_000, hops: 9900 },
    ],
  };
}

const SHOP: [EdgeClass, Traffic][] = [
  ['external_to_gateway', uniform(1236, 14_200_000, 1_100_000)],
  ['gateway_to_bff', uniform(1200, 9_000_000, 400_000)],
  ['gateway_to_workload', uniform(766, 8_000_000, 400_000)],
  ['bff_to_workload', uniform(3000, 4_800_000, 400_000)],
  ['workload_to_workload', uniform(968, 5_100_000, 380_000)],
  ['loopback', uniform(3968, 5_300_000, 300_000)],
];

const account = (totals: Partial<Reconciliation['totals']> = {}): Reconciliation => ({
  boots: [],
  totals: {
    finished: 11_138,
    stored: 11_138,
    rows_doubled: 0,
    dropped: {},
    dropped_total: 0,
    dropped_but_stored: 0,
    in_flight: 0,
    spooled: 0,
    lost_at_end: 0,
    unexplained: 0,
    twins: 0,
    ...totals,
  },
  undecodable_messages: 0,
  deleted_by_broker: [],
  began_past_start: [],
});
/** As if seven processes had been accounted for. */
const withProcesses = (report: GatewayVsMesh): GatewayVsMesh => ({
  ...report,
  accounted_for: { ...report.accounted_for, processes: 7 },
});
const plain = (width: number) => ({ width, color: false });

describe('gateway-vs-mesh', () => {
  it('puts every edge class into exactly one part', () => {
    const classes = Object.values(PARTS).flat();
    assert.deepEqual([...classes].sort(), [...EDGE_CLASSES].sort());
  });

  it('counts the same requests and the same sum of legs in both perspectives', () => {
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.constantFrom(...EDGE_CLASSES), fc.integer({ min: 1, max: 10_000 }))),
        (counts) => {
          const traffic = windowOf([...new Map(counts.map(([c, n]) => [c, uniform(n, 5e6, 1e5)]))]);
          const [split, whole] = PERSPECTIVES.map((p) => gatewayVsMesh(traffic, account(), p));
          assert.ok(split !== undefined && whole !== undefined);
          assert.equal(split.requests, whole.requests);
          assert.equal(split.legs.sum, whole.legs.sum);
          for (const { legs, lines, requests } of [split, whole]) {
            const { north_south, east_west, unknown, loopback, sum } = legs;
            assert.equal(north_south + east_west + unknown + loopback, sum);
            const all = lines.filter((line) => line.part === 'all');
            assert.equal(all.reduce((n, line) => n + line.legs, 0), sum); // prettier-ignore
            assert.equal(all.reduce((n, line) => n + line.requests, 0), requests); // prettier-ignore
          }
          assert.equal(split.moved.legs, whole.moved.legs);
          assert.equal(whole.legs.north_south - split.legs.north_south, split.moved.legs);
        },
      ),
    );
  });

  it('keeps loopback legs out of shares and of both directions', () => {
    const report = gatewayVsMesh(windowOf(SHOP), account(), 'split');
    const share = report.lines
      .filter((line) => line.part === 'all')
      .reduce((sum, line) => sum + (line.share ?? 0), 0);
    assert.ok(Math.abs(share - 1) < 1e-9);
    assert.equal(report.legs.loopback, 3968);
    assert.equal(report.lines.find((line) => line.direction === 'neither')?.share, null);
  });

  it('gives the CPU of a role per 1,000 of its hops and per 1,000 requests from outside', () => {
    const [gateway, sidecar] = gatewayVsMesh(windowOf(SHOP), account(), 'split').cpu;
    assert.equal(gateway?.cpu_ms_per_1000_hops, 50_000 / 1230);
    assert.equal(sidecar?.cpu_ms_per_1000_hops, 380_000 / 9900);
    const perRequest = ((380 / 9900) * 9902 * 1000) / 1236;
    assert.ok(Math.abs((sidecar.cpu_ms_per_1000_requests ?? 0) - perRequest) < 1e-9);
  });

  it('gives concurrency as the sum of durations over the window', () => {
    const report = gatewayVsMesh(windowOf(SHOP), account(), 'split');
    const line = report.lines.find((l) => l.part === 'gateway');
    assert.ok(Math.abs((line?.concurrency ?? 0) - (1236 * 0.0142) / 300) < 1e-12);
  });

  for (const perspective of PERSPECTIVES) {
    it(`prints the terminal form on 110 columns, ${perspective}`, () => {
      const report = withProcesses(gatewayVsMesh(windowOf(SHOP), account(), perspective));
      const text = gatewayVsMeshText(report, plain(200));
      assert.ok(text.split('\n').every((line) => line.length <= 110));
      assertGolden(`gateway-vs-mesh-${perspective}.txt`, text);
    });
  }

  it('narrows on a narrow terminal', () => {
    const report = withProcesses(gatewayVsMesh(windowOf(SHOP), account(), 'split'));
    const text = gatewayVsMeshText(report, plain(80));
    assert.ok(text.split('\n').every((line) => line.length <= 80));
    assertGolden('gateway-vs-mesh-narrow.txt', text);
  });

  it('names no gateway where the BFFs’ sidecars perform its functions', () => {
    const merged = windowOf([
      ['external_to_bff', uniform(1236, 14_200_000, 1_100_000)],
      ['gateway_bff_to_workload', uniform(3000, 4_800_000, 400_000)],
    ]);
    const report = gatewayVsMesh(merged, account(), 'split');
    assert.equal(report.requests_at_bff, 1236);
    for (const width of [80, 110]) {
      const text = gatewayVsMeshText(report, { width, color: false });
      assert.match(text, /merged: no gateway process/);
      assert.match(text, /^ +BFF ingress +1,236/m);
      assert.match(text, /^ +BFF → mesh +3,000|east-west +3,000/m);
      assert.ok(text.split('\n').every((line) => line.length <= width));
    }
    const apart = gatewayVsMesh(windowOf(SHOP), account(), 'split');
    assert.doesNotMatch(gatewayVsMeshText(apart, { width: 110, color: false }), /merged|BFF/);
  });

  it('says what is not well in words', () => {
    const troubled = {
      stored: 11_000,
      rows_doubled: 12,
      dropped: { queue_full: 100 },
      dropped_total: 100,
      dropped_but_stored: 2,
      in_flight: 10,
      lost_at_end: 8,
      unexplained: 20,
      twins: 1,
    };
    const report = gatewayVsMesh(
      windowOf([
        ...SHOP,
        ['unknown', uniform(9, 2e6, 1e5)],
        ['workload_to_external', uniform(5, 9e7, 1e5)],
      ]),
      { ...account(troubled), undecodable_messages: 3 },
      'split',
    );
    assertGolden(
      'gateway-vs-mesh-troubled.txt',
      gatewayVsMeshText(withProcesses(report), plain(110)),
    );
  });

  it('says what to do when the window is empty', () => {
    const text = gatewayVsMeshText(gatewayVsMesh(windowOf([]), account(), 'split'), plain(110));
    assert.match(text, /No hop started in this window/);
    assert.doesNotMatch(text, /NaN|undefined|Infinity/);
  });

  it('styles lines only where styles are wanted, and says the same', () => {
    const report = withProcesses(gatewayVsMesh(windowOf(SHOP), account(), 'split'));
    const styled = gatewayVsMeshText(report, { width: 110, color: true });
    assert.ok(styled.includes('\x1b[1m'));
    assert.equal(styled.replaceAll(/\x1b\[\d+m/g, ''), gatewayVsMeshText(report, plain(110)));
  });

  it('writes CSV with one line a part and as many cells as heads', () => {
    const csv = gatewayVsMeshCsv(gatewayVsMesh(windowOf(SHOP), account(), 'split'));
    const [head, ...lines] = csv
      .trimEnd()
      .split('\n')
      .map((line) => line.split(','));
    assert.ok(lines.length >= 8);
    for (const line of lines) assert.equal(line.length, head?.length);
    assertGolden('gateway-vs-mesh.csv', csv);
  });

  it('gives null, not an invented number, for a quantile of no hop', () => {
    const report = gatewayVsMesh(windowOf([]), account(), 'split');
    assert.deepEqual(report.lines[0]?.latency.p50, { ms: null, low_ms: null, high_ms: null });
    assert.equal(report.lines[0].error_share, null);
    assert.doesNotThrow(() => JSON.parse(JSON.stringify(report)) as unknown);
  });
});
