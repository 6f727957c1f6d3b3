/** Every query of the dashboard against the real schema, expanded as Grafana would expand it. */
import assert from 'node:assert/strict';
import { runRollup } from '../../../analytics/jobs/rollup.ts';
import { silentLog } from '../../../runtime/log.ts';
import {
  dataPanels,
  GATEWAY_VS_MESH,
  readDashboard,
  type Panel,
} from '../../helpers/grafana-dashboard.ts';
import { startTestStore, type TestStore } from '../../helpers/store.ts';
import { expandGrafana } from './grafana-macros.ts';
import { checkShape, type Answer } from './panel-shape.ts';

/** Hops of one request: from outside, gateway to BFF, two sidecars' own, BFF to service. */
const SEED_REQUESTS = 600;
const SEED_MINUTES = 5;

describe('dashboard Gateway vs mesh', function () {
  this.timeout(120_000);
  const dashboard = readDashboard(GATEWAY_VS_MESH);
  let store: TestStore;
  /** A full minute, Unix seconds, in which the seed begins: old enough to be final. */
  let fromS = 0;

  before(async () => {
    store = await startTestStore();
    fromS = Math.floor(Date.now() / 60_000) * 60 - 15 * 60;
    // Requests of 1 to 100 ms; each 20th fails at the service; the gateway owns 1 %, sidecars 2 %.
    const insert = `INSERT INTO spans (Timestamp, TraceId, SpanId, HopVersion, Topology, Role, Side, EdgeClass,
        ServiceName, HttpStatus, Duration, UpstreamNs, OwnNs, BytesIn, BytesOut, Attempts, IngestedAt)
      SELECT
        addNanoseconds(toDateTime64({from:UInt32} + intDiv(number, 5) % {seconds:UInt32}, 9), 1000 * (number % 5)),
        leftPad(lower(hex(intDiv(number, 5))), 32, '0'),
        leftPad(lower(hex(number)), 16, '0'),
        1,
        'separate',
        if(number % 5 = 0, 'gateway', 'sidecar'),
        ['ingress', 'inbound', 'outbound', 'inbound', 'inbound'][number % 5 + 1],
        ['external_to_gateway', 'gateway_to_bff', 'loopback', 'bff_to_workload', 'unknown'][number % 5 + 1],
        ['edge', 'web-bff', 'web-bff', 'catalog', 'catalog'][number % 5 + 1],
        if(intDiv(number, 5) % 20 = 0, 503, 200),
        1000000 * (1 + intDiv(number, 5) % 100) AS ns,
        ns - intDiv(ns, if(number % 5 = 0, 100, 50)),
        intDiv(ns, if(number % 5 = 0, 100, 50)),
        300,
        1200,
        1,
        toDateTime({from:UInt32} + {seconds:UInt32})
      FROM numbers({rows:UInt32})`;
    const params = { from: fromS, seconds: SEED_MINUTES * 60, rows: SEED_REQUESTS * 5 };
    await store.client.command(insert, params);
    // A replayed batch: every figure below must count it once.
    await store.client.command(insert, params);
  });

  after(() => store.stop());

  async function answer(
    rawSql: string,
    variables: { perspective?: string; topology?: string | readonly string[] } = {},
  ): Promise<Answer> {
    const sql = expandGrafana(rawSql, {
      fromS,
      toS: fromS + 10 * 60,
      intervalS: 60,
      variables: { perspective: 'split', topology: '$__all', route: '$__all', ...variables },
    });
    return JSON.parse(await store.client.text(sql, {}, 'JSON')) as Answer;
  }

  const panelCalled = (title: string): Panel => {
    const panel = dataPanels(dashboard).find((p) => p.title === title);
    assert.ok(panel !== undefined, `there is a panel "${title}"`);
    return panel;
  };
  const sqlOf = (title: string): string => panelCalled(title).targets![0]!.rawSql;
  const valueOf = async (title: string, perspective = 'split'): Promise<number> => {
    const { data } = await answer(sqlOf(title), { perspective });
    return Number(Object.values(data[0]!)[0]);
  };

  for (const perspective of ['split', 'whole']) {
    for (const panel of dataPanels(dashboard)) {
      it(`gets columns of the right kind for "${panel.title}" (${perspective})`, async () => {
        for (const target of panel.targets ?? []) {
          checkShape(panel, target, await answer(target.rawSql, { perspective }));
        }
      });
    }
  }

  it('counts a request once however often its rows were stored, in both perspectives', async () => {
    assert.equal(await valueOf('Requests from outside', 'split'), SEED_REQUESTS);
    assert.equal(await valueOf('Requests from outside', 'whole'), SEED_REQUESTS);
  });

  it('has as many legs in one perspective as in the other, and moves only the internal legs', async () => {
    assert.equal(await valueOf('Legs', 'split'), SEED_REQUESTS * 4);
    assert.equal(await valueOf('Legs', 'whole'), SEED_REQUESTS * 4);
    const moved = await valueOf('Share that the perspective moves');
    assert.equal(moved, 0.25);
    const split = await valueOf('East-west share of legs', 'split');
    const whole = await valueOf('East-west share of legs', 'whole');
    assert.equal(split - whole, moved);
  });

  it('puts every leg into one row of the table', async () => {
    for (const perspective of ['split', 'whole']) {
      const { data } = await answer(sqlOf('Gateway, gateway → mesh, mesh ↔ mesh'), { perspective });
      assert.deepEqual(
        data.map((row) => [row['part'], row['direction'], Number(row['legs'])]),
        [
          ['gateway', 'north_south', SEED_REQUESTS],
          ['gateway → mesh', perspective === 'split' ? 'east_west' : 'north_south', SEED_REQUESTS],
          ['mesh ↔ mesh', 'east_west', SEED_REQUESTS],
          ['unknown', 'unknown', SEED_REQUESTS],
          ['own sidecar', 'neither', SEED_REQUESTS],
        ],
      );
      const shares = data.map((row) => (row['share'] === null ? 0 : Number(row['share'])));
      assert.equal(
        shares.reduce((sum, share) => sum + share, 0),
        1,
      );
    }
  });

  it('reads quantiles within the error of the histogram', async () => {
    const { data } = await answer(sqlOf('Gateway, gateway → mesh, mesh ↔ mesh'));
    const gateway = data[0]!;
    // Durations are 1, 2 … 100 ms in equal numbers; own time is 1 % of them.
    for (const [column, exactMs] of [
      ['p50', 50],
      ['p90', 90],
      ['p99', 99],
      ['own p50', 0.5],
      ['own p99', 0.99],
    ] as const) {
      const off = Math.abs(Number(gateway[column]) - exactMs) / exactMs;
      assert.ok(off < 0.03, `${column} is ${String(gateway[column])}, exact is ${exactMs}`);
    }
    assert.equal(await valueOf('Requests failed'), 0.05);
  });

  it('takes only the topologies picked, and none for a value that is none', async () => {
    const requests = sqlOf('Requests from outside');
    const count = async (topology: string | readonly string[]): Promise<number> =>
      Number((await answer(requests, { topology })).data[0]!['requests']);
    assert.equal(await count(['separate']), SEED_REQUESTS);
    assert.equal(await count(['merged']), 0);
    assert.equal(await count(["') OR 1=1 --"]), 0);
  });

  it('lists the topologies that there are', async () => {
    const variable = dashboard.templating.list.find((v) => v.name === 'topology')!;
    const { rawSql } = variable.query as { rawSql: string };
    assert.deepEqual((await answer(rawSql)).data, [{ Topology: 'separate' }]);
  });

  it('shows the same figures before and after the minutes are published', async () => {
    const all = async (): Promise<unknown[]> => {
      const answers: unknown[] = [];
      for (const panel of dataPanels(dashboard)) {
        if (panel.title === 'Final until') continue;
        for (const target of panel.targets ?? []) answers.push((await answer(target.rawSql)).data);
      }
      return answers;
    };
    const provisional = await all();
    assert.equal((await answer(sqlOf('Final until'))).data[0]!['final until'], null);
    await runRollup({
      store: store.client,
      log: silentLog,
      retentionDays: 1,
      nowMs: () => (fromS + 12 * 60) * 1000,
    });
    assert.ok((await answer(sqlOf('Final until'))).data[0]!['final until'] !== null);
    assert.deepEqual(await all(), provisional);
  });
});
