import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { parse } from 'yaml';
import { INCOMPLETE, SEGMENT_KINDS } from '../../../analytics/attribution/segments.ts';
import { KINDS, REASONS } from '../../../dashboards/grafana/attribution-sql.ts';
import { DATASOURCE } from '../../../dashboards/grafana/clickhouse-query.ts';
import { grafanaFiles } from '../../../dashboards/grafana/generate.ts';
import { PERSPECTIVES } from '../../../telemetry/edge-class.ts';
import {
  ALL_DASHBOARDS,
  dataLinks,
  dataPanels,
  GATEWAY_VS_MESH,
  readDashboard,
  type DashboardFile,
} from '../../helpers/grafana-dashboard.ts';

const read = (path: string): string =>
  readFileSync(new URL(`../../../${path}`, import.meta.url), 'utf8');

/** Dashboards by the uid that links name. */
const byUid = new Map(
  ALL_DASHBOARDS.map((path) => {
    const dashboard = readDashboard(path);
    return [dashboard.uid, dashboard] as const;
  }),
);

const variablesOf = (dashboard: DashboardFile): string[] =>
  dashboard.templating.list.map((variable) => variable.name);

for (const path of ALL_DASHBOARDS) {
  describe(`Grafana dashboard ${path.split('/').at(-1)!}`, () => {
    const dashboard = readDashboard(path);
    const panels = dataPanels(dashboard);

    it('is committed as the generator writes it', () => {
      const generated = grafanaFiles().find((file) => file.path === path);
      assert.equal(read(path), generated?.content, 'run `npm run generate`');
    });

    it('gives every panel an id of its own', () => {
      const ids = dashboard.panels.map((panel) => panel.id);
      assert.ok(ids.every((id) => Number.isInteger(id) && id > 0));
      assert.equal(new Set(ids).size, ids.length);
    });

    it('lays panels side by side within 24 columns, none over another', () => {
      const taken = new Map<string, string>();
      for (const { title, gridPos } of dashboard.panels) {
        assert.ok(gridPos.x >= 0 && gridPos.w > 0 && gridPos.x + gridPos.w <= 24, title);
        for (let x = gridPos.x; x < gridPos.x + gridPos.w; x++) {
          for (let y = gridPos.y; y < gridPos.y + gridPos.h; y++) {
            const cell = `${x},${y}`;
            assert.equal(taken.get(cell), undefined, `${title} lies over ${taken.get(cell) ?? ''}`);
            taken.set(cell, title);
          }
        }
      }
    });

    it('says of every panel what it shows', () => {
      for (const panel of panels) {
        assert.match(panel.title, /^[A-Z]/);
        assert.match(panel.description ?? '', /\.$/, panel.title);
      }
      const titles = panels.map((panel) => panel.title);
      assert.equal(new Set(titles).size, titles.length);
    });

    it('reads only the data source that is provisioned', () => {
      const provisioned = parse(
        read('dashboards/grafana/provisioning/datasources/clickhouse.yaml'),
      ) as {
        datasources: { uid: string; type: string }[];
      };
      const [source, ...more] = provisioned.datasources;
      assert.deepEqual(more, []);
      assert.deepEqual({ type: source!.type, uid: source!.uid }, DATASOURCE);
      for (const panel of panels) {
        assert.deepEqual(panel.datasource, DATASOURCE, panel.title);
        for (const target of panel.targets ?? []) assert.deepEqual(target.datasource, DATASOURCE);
      }
      for (const variable of dashboard.templating.list) {
        if (variable.type === 'query') assert.deepEqual(variable.datasource, DATASOURCE);
      }
    });

    it('names each target of a panel once, in the format of the panel', () => {
      const format: Record<string, [number, string]> = {
        timeseries: [0, 'timeseries'],
        stat: [1, 'table'],
        table: [1, 'table'],
        barchart: [1, 'table'],
        nodeGraph: [1, 'table'],
        heatmap: [0, 'timeseries'],
        traces: [3, 'traces'],
      };
      for (const panel of panels) {
        const targets = panel.targets ?? [];
        assert.ok(targets.length > 0, panel.title);
        assert.equal(new Set(targets.map((target) => target.refId)).size, targets.length);
        for (const target of targets) {
          // The node graph knows its two frames by these names.
          assert.match(target.refId, panel.type === 'nodeGraph' ? /^(nodes|edges)$/ : /^[A-Z]$/);
          assert.deepEqual([target.format, target.queryType], format[panel.type], panel.title);
        }
      }
    });

    it('uses only variables that it defines, and uses each of them', () => {
      const defined = variablesOf(dashboard);
      const used = new Set<string>();
      for (const { rawSql } of panels.flatMap((panel) => panel.targets ?? [])) {
        // `$__name` is a macro of the plugin.
        for (const [, name = ''] of rawSql.matchAll(/\$\{?(?!__)(\w+)/g)) used.add(name);
      }
      for (const { url } of panels.flatMap(dataLinks)) {
        for (const [, name = ''] of url.matchAll(/\$\{(?!__)(\w+)/g)) used.add(name);
      }
      assert.deepEqual([...used].sort(), [...defined].sort());
    });

    it('never puts a variable into SQL unquoted', () => {
      for (const { rawSql } of panels.flatMap((panel) => panel.targets ?? [])) {
        // The bare name inside $__conditionalAll is only looked up by the plugin, never sent.
        const rest = rawSql.replace(/, \$\w+\)/g, '').replace(/\$\{\w+:sqlstring\}/g, '');
        assert.doesNotMatch(rest, /\$\{?(?!__)\w+/);
      }
    });

    it('links to all other dashboards, and takes window and variables along', () => {
      const urls = dashboard.links.map((link) => link.url).sort();
      const others = [...byUid.keys()].filter((uid) => uid !== dashboard.uid);
      assert.deepEqual(urls, others.map((uid) => `/d/${uid}`).sort());
      for (const link of dashboard.links) {
        assert.equal(link.title, byUid.get(link.url.slice('/d/'.length))!.title);
        assert.ok(link.keepTime === true && link.includeVars === true);
      }
    });

    it('has only data links that lead somewhere, to variables which are there', () => {
      for (const { url } of panels.flatMap(dataLinks)) {
        const [, uid, query = ''] = /^\/d\/([\w-]+)\?(.*)$/.exec(url) ?? [];
        if (uid === undefined) {
          assert.match(url, /^\$\{live_page\}\/api\/traces\/\$\{__value\.raw:percentencode\}$/);
          continue;
        }
        const target = byUid.get(uid);
        assert.ok(target !== undefined, url);
        const set = [
          ...[...query.matchAll(/var-(\w+)=/g)].map(([, name]) => name!),
          ...[...query.matchAll(/\$\{(\w+):queryparam\}/g)].map(([, name]) => name!),
        ];
        assert.ok(set.length > 1, url);
        for (const name of set) assert.ok(variablesOf(target).includes(name), `${url}: ${name}`);
        assert.match(query, /\$\{__url_time_range\}/);
      }
    });

    it('is found by the dashboard provider that is provisioned', () => {
      const provider = parse(read('dashboards/grafana/provisioning/dashboards/azimuth.yaml')) as {
        providers: { options: { path: string } }[];
      };
      const path = provider.providers[0]!.options.path;
      assert.match(
        read('deploy/grafana/Dockerfile'),
        new RegExp(`^COPY dashboards/grafana/dashboards ${path}$`, 'm'),
      );
    });

    it('pins the version of the plugin that the image installs', () => {
      const installed = /plugins install grafana-clickhouse-datasource (\S+)/.exec(
        read('deploy/grafana/Dockerfile'),
      )?.[1];
      assert.ok(installed !== undefined);
      assert.ok(read(path).includes(`"pluginVersion": "${installed}"`));
    });
  });
}

describe('the data source for the embedded store', () => {
  interface Sources {
    readonly datasources: readonly { jsonData: Record<string, unknown> }[];
  }
  const of = (path: string): Sources => parse(read(path)) as Sources;

  it('differs from that for a server in how it is asked, and in nothing else', () => {
    const [server] = of('dashboards/grafana/provisioning/datasources/clickhouse.yaml').datasources;
    const [embedded, ...more] = of('deploy/grafana/embedded-store.yaml').datasources;
    assert.deepEqual(more, []);
    const asked = { protocol: 'http', port: 8123 };
    const { username, ...rest } = embedded!.jsonData;
    assert.match(String(username), /^\$AZIMUTH_/);
    const expected: Record<string, unknown> = { ...server!.jsonData, ...asked };
    delete expected['username'];
    assert.deepEqual(rest, expected);
    const left = ({ jsonData, ...other }: Sources['datasources'][number]): object => ({
      ...other,
      ...{ jsonData: typeof jsonData, secureJsonData: undefined },
    });
    assert.deepEqual(left(embedded!), left(server!));
  });
});

describe('Grafana dashboard Gateway vs mesh', () => {
  const dashboard = readDashboard(GATEWAY_VS_MESH);

  it('offers the perspectives of the traffic model, split first', () => {
    const variable = dashboard.templating.list.find((v) => v.name === 'perspective')!;
    assert.deepEqual(
      variable.options?.map((option) => option.value),
      PERSPECTIVES,
    );
    assert.equal(variable.query, PERSPECTIVES.join(','));
    assert.equal(variable.current.value, 'split');
  });
});

describe('Grafana dashboard Attribution', () => {
  it('names the segments and the reasons of the analytics, no more and no less', () => {
    // Client wait is nobody's latency: it is not in the bars.
    assert.deepEqual(
      KINDS.map((kind) => kind.name.replaceAll(' ', '_')).sort(),
      SEGMENT_KINDS.filter((kind) => kind !== 'client_wait').sort(),
    );
    assert.deepEqual(REASONS, INCOMPLETE);
  });
});
