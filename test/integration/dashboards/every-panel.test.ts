/**
 * Every query of every dashboard on what a real mesh recorded, and the figures of the dashboards that
 * go into single requests: they must be those of the reports.
 */
import assert from 'node:assert/strict';
import { readAttribution } from '../../../analytics/reports/attribution.ts';
import { explainTrace } from '../../../analytics/reports/explain.ts';
import { KINDS } from '../../../dashboards/grafana/attribution-sql.ts';
import {
  ALL_DASHBOARDS,
  ATTRIBUTION,
  dataPanels,
  EDGES_AND_ROUTES,
  GATEWAY_VS_MESH,
  readDashboard,
  TRACES,
} from '../../helpers/grafana-dashboard.ts';
import { startMeasuredShop, type MeasuredShop } from '../../helpers/measured-shop.ts';
import { expandGrafana } from './grafana-macros.ts';
import { checkShape, type Answer } from './panel-shape.ts';

/** Panels that have nothing to show when nothing went wrong. */
const EMPTY_WHEN_WELL = new Set([
  'Dropped hops by process and reason',
  'Dead letters by source and reason',
]);

type Values = Readonly<Record<string, string | readonly string[]>>;

describe('every dashboard, on what a real mesh recorded', function () {
  this.timeout(120_000);
  let shop: MeasuredShop;
  /** A request that failed nothing: its trace is complete. */
  let trace = '';

  before(async () => {
    shop = await startMeasuredShop();
    const [slowest] = (await answer(sqlOf(TRACES, 'Slowest requests'))).data.filter(
      (row) => row['status'] === 200,
    );
    trace = String(slowest!['trace']);
  });
  after(() => shop.stop());

  async function answer(rawSql: string, values: Values = {}): Promise<Answer> {
    const sql = expandGrafana(rawSql, {
      fromS: shop.fromS,
      toS: shop.toS,
      intervalS: 60,
      variables: {
        ...{
          perspective: 'split',
          direction: '$__all',
          topology: '$__all',
          route: '$__all',
          trace,
        },
        ...values,
      },
    });
    return JSON.parse(await shop.store.client.text(sql, {}, 'JSON')) as Answer;
  }
  function sqlOf(path: string, title: string, refId = 'A'): string {
    const panel = dataPanels(readDashboard(path)).find((one) => one.title === title);
    const target = panel?.targets?.find((one) => one.refId === refId);
    assert.ok(target !== undefined, `there is a panel "${title}" with a target ${refId}`);
    return target.rawSql;
  }
  const rowsOf = async (
    path: string,
    title: string,
    values: Values = {},
    refId = 'A',
  ): Promise<Answer['data']> => (await answer(sqlOf(path, title, refId), values)).data;

  for (const path of ALL_DASHBOARDS) {
    const dashboard = readDashboard(path);
    for (const perspective of ['split', 'whole']) {
      it(`has rows and the right columns in each panel of ${dashboard.title} (${perspective})`, async () => {
        for (const panel of dataPanels(dashboard)) {
          for (const target of panel.targets ?? []) {
            const got = await answer(target.rawSql, { perspective });
            if (got.data.length === 0 && EMPTY_WHEN_WELL.has(panel.title)) continue;
            checkShape(panel, target, got);
          }
        }
      });
    }

    it(`offers values for each variable of ${dashboard.title} that is read from the store`, async () => {
      for (const { name, query } of dashboard.templating.list) {
        if (typeof query === 'string') continue;
        const { meta, data } = await answer(query.rawSql);
        assert.equal(meta.length, 1, name);
        const values = data.map((row) => String(Object.values(row)[0]));
        assert.ok(values.length > 0 && !values.includes(''), name);
      }
    });
  }

  it('shows the bars of the attribution report, and each is the mean of its requests', async () => {
    const report = await readAttribution(shop.store.client, {
      fromMs: shop.fromS * 1000,
      toMs: shop.toS * 1000,
    });
    const bars = await rowsOf(ATTRIBUTION, 'Where the time goes at a percentile');
    const bands = await rowsOf(ATTRIBUTION, 'Bands');
    assert.equal(report.complete, shop.requests);
    assert.deepEqual(
      bars.map((row) => row['band']),
      ['p50', 'p90', 'p99', 'p99.9'],
    );
    for (const [i, band] of report.bands.entries()) {
      const [bar, row] = [bars[i]!, bands[i]!];
      assert.equal(Number(row['requests']), band.requests);
      let sum = 0;
      for (const { name } of KINDS) {
        const exact = band.kinds[name.replaceAll(' ', '_') as keyof typeof band.kinds].ms;
        const ms = Number(bar[name]);
        sum += ms;
        assert.ok(Math.abs(ms - exact) < 1e-6, `p${band.percentile} ${name}: ${ms}, ${exact}`);
        assert.equal(ms, Number(row[name]));
      }
      assert.ok(Math.abs(sum - Number(row['total'])) < 1e-6, `p${band.percentile}: ${sum}`);
      const segments = await rowsOf(ATTRIBUTION, 'Segments by name');
      for (const { kind, place, detail, ms } of band.segments) {
        if (kind === 'client_wait') continue;
        const found = segments.find(
          (one) => one['kind'] === kind && one['place'] === place && one['detail'] === detail,
        );
        assert.ok(found !== undefined, `${kind} ${place} ${detail}`);
        const shown = Number(found[`p${band.percentile}`]);
        assert.ok(Math.abs(shown - ms) < 1e-6, `${kind} ${place} ${detail}: ${shown}, ${ms}`);
      }
    }
  });

  it('names why requests are incomplete, with one of them', async () => {
    const rows = await rowsOf(ATTRIBUTION, 'Incomplete by reason');
    assert.deepEqual(
      rows.map((row) => [row['reason'], Number(row['requests'])]),
      [['missing_child', shop.failed]],
    );
    assert.equal(Number(rows[0]!['share']), shop.failed / (shop.requests + shop.failed));
    assert.match(String(rows[0]!['newest trace']), /^[0-9a-f]{32}$/);
  });

  it('draws each edge between two nodes that are drawn, and every leg on one edge', async () => {
    const title = 'Who calls whom';
    for (const perspective of ['split', 'whole']) {
      const nodes = await rowsOf(EDGES_AND_ROUTES, title, { perspective }, 'nodes');
      const edges = await rowsOf(EDGES_AND_ROUTES, title, { perspective }, 'edges');
      const ids = nodes.map((row) => row['id']);
      for (const edge of edges) {
        assert.ok(ids.includes(edge['source']) && ids.includes(edge['target']), String(edge['id']));
      }
      const ends = edges.map((edge) => `${String(edge['source'])} → ${String(edge['target'])}`);
      for (const known of [
        'clients → edge',
        'edge → web-bff',
        'web-bff → cart',
        'cart → pricing',
      ]) {
        assert.ok(ends.includes(known), `${known}: ${ends.join(', ')}`);
      }
      const table = await rowsOf(EDGES_AND_ROUTES, 'Edges', { perspective });
      const legs = table.reduce((sum, row) => sum + Number(row['legs']), 0);
      const [all] = await rowsOf(GATEWAY_VS_MESH, 'Legs', { perspective });
      assert.equal(legs, Number(all!['legs']));
      const routes = await rowsOf(EDGES_AND_ROUTES, 'Routes', { perspective });
      assert.equal(
        routes.reduce((sum, row) => sum + Number(row['legs']), 0),
        legs,
      );
    }
  });

  it('moves the internal legs of the gateway, and only those, with the perspective', async () => {
    const northSouth = async (perspective: string): Promise<string[]> => {
      const rows = await rowsOf(EDGES_AND_ROUTES, 'Edges', {
        perspective,
        direction: ['north_south'],
      });
      return rows.map((row) => String(row['class'])).sort();
    };
    assert.deepEqual(await northSouth('split'), ['external_to_gateway']);
    assert.deepEqual(
      [...new Set(await northSouth('whole'))],
      ['external_to_gateway', 'gateway_to_bff', 'gateway_to_workload'],
    );
  });

  it('takes only the routes picked, and none for a value that is none', async () => {
    const [{ route }] = (await rowsOf(TRACES, 'Slowest requests')) as [{ route: string }];
    const of = async (picked: string): Promise<number> => {
      const rows = await rowsOf(EDGES_AND_ROUTES, 'Routes', { route: [picked] });
      for (const row of rows) assert.equal(row['route'], picked);
      return rows.length;
    };
    assert.ok((await of(route)) > 0);
    assert.equal(await of("') OR 1=1 --"), 0);
  });

  it('holds every hop of a heat map in one of its bands', async () => {
    const rows = await rowsOf(GATEWAY_VS_MESH, 'Requests from outside by latency');
    const hops = rows.reduce(
      (sum, row) =>
        sum +
        Object.entries(row).reduce((all, [k, n]) => (k === 'time' ? all : all + Number(n)), 0),
      0,
    );
    assert.equal(hops, shop.requests + shop.failed);
  });

  it('lists failed requests, and hangs the spans of a trace below one another', async () => {
    const failed = await rowsOf(TRACES, 'Newest failed requests');
    assert.equal(failed.length, shop.failed);
    for (const row of failed) assert.equal(row['status'], 503);
    const spans = await rowsOf(TRACES, 'Spans of the trace');
    const hops = await rowsOf(TRACES, 'Hops of the trace');
    assert.equal(hops.length, spans.length);
    for (const hop of hops) {
      const sum = ['own', 'upstream', 'client wait', 'backoff'].reduce(
        (n, k) => n + Number(hop[k]),
        0,
      );
      assert.ok(Math.abs(sum - Number(hop['duration'])) < 1e-6, JSON.stringify(hop));
    }
  });

  it('splits a trace as `azimuth explain` does', async () => {
    const shown = await rowsOf(TRACES, 'Segments of the trace');
    const { duration_ms, segments } = await explainTrace(shop.store.client, trace);
    const byName = new Map<string, number>();
    for (const { kind, place, detail, ms } of segments) {
      const name = `${kind} ${place} ${detail}`;
      byName.set(name, (byName.get(name) ?? 0) + ms);
    }
    const close = (a: number, b: number, name: string): void =>
      assert.ok(Math.abs(a - b) < 1e-6, `${name}: ${a}, ${b}`);
    for (const row of shown) {
      const name = `${String(row['segment'])} ${String(row['place'])} ${String(row['detail'])}`;
      close(Number(row['time']), byName.get(name) ?? NaN, name);
    }
    assert.equal(shown.length, byName.size);
    close(
      shown.reduce((sum, row) => sum + Number(row['time']), 0),
      duration_ms,
      'all of it',
    );
  });

  it('asks nothing of a trace that is none', async () => {
    for (const title of ['Spans of the trace', 'Hops of the trace', 'Segments of the trace']) {
      for (const none of ['', "' OR 1 = 1 --"]) {
        assert.deepEqual(await rowsOf(TRACES, title, { trace: none }), [], title);
      }
    }
  });
});
