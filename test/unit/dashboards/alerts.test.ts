import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { parse } from 'yaml';
import { DATASOURCE } from '../../../dashboards/grafana/clickhouse-query.ts';
import { grafanaFiles } from '../../../dashboards/grafana/generate.ts';
import { ALL_DASHBOARDS, dataPanels, readDashboard } from '../../helpers/grafana-dashboard.ts';
import { ALERTS_PATH, readAlertRules } from '../../helpers/grafana-alerts.ts';
import { readPrometheusRules } from '../../helpers/prometheus-rules.ts';

const read = (path: string): string =>
  readFileSync(new URL(`../../../${path}`, import.meta.url), 'utf8');

describe('Grafana alert rules', () => {
  const rules = readAlertRules();

  it('are committed as the generator writes them', () => {
    const generated = grafanaFiles().find((file) => file.path === ALERTS_PATH);
    assert.equal(read(ALERTS_PATH), generated?.content, 'run `npm run generate`');
  });

  it('stand in the folder of the dashboards', () => {
    const { groups } = JSON.parse(read(ALERTS_PATH)) as { groups: { folder: string }[] };
    const provider = parse(read('dashboards/grafana/provisioning/dashboards/azimuth.yaml')) as {
      providers: { folder: string }[];
    };
    assert.deepEqual(
      groups.map((g) => g.folder),
      [provider.providers[0]!.folder],
    );
  });

  it('hold nothing that Grafana would take for a variable of the environment', () => {
    assert.ok(!read(ALERTS_PATH).includes('$'));
  });

  it('have a uid and a title each, which no other has', () => {
    assert.ok(rules.length > 0);
    assert.equal(new Set(rules.map((rule) => rule.uid)).size, rules.length);
    assert.equal(new Set(rules.map((rule) => rule.title)).size, rules.length);
    // Grafana's own limit.
    for (const { uid } of rules) assert.match(uid, /^[a-z-]{1,40}$/);
  });

  it('ask the data source that is provisioned, and judge what it answers', () => {
    for (const { title, condition, data } of rules) {
      const [query, threshold, ...more] = data;
      assert.deepEqual(more, [], title);
      assert.equal(query!.datasourceUid, DATASOURCE.uid, title);
      assert.deepEqual(query!.model.datasource, DATASOURCE, title);
      assert.equal(query!.model.format, 1, title);
      assert.equal(query!.model.refId, query!.refId, title);
      assert.equal(threshold!.datasourceUid, '__expr__', title);
      assert.equal(threshold!.model.expression, query!.refId, title);
      assert.equal(threshold!.refId, condition, title);
    }
  });

  it('lead to a panel that is there', () => {
    const panels = new Map(
      ALL_DASHBOARDS.map(readDashboard).map((d) => [d.uid, dataPanels(d).map((p) => String(p.id))]),
    );
    for (const { title, annotations } of rules) {
      const there = panels.get(annotations['__dashboardUid__'] ?? '');
      assert.ok(there?.includes(annotations['__panelId__'] ?? '') === true, title);
    }
  });
});

describe('runbooks of alerts', () => {
  const runbooks = [
    ...readAlertRules().map((rule) => rule.annotations['runbook'] ?? ''),
    ...readPrometheusRules().flatMap((rule) =>
      rule.alert === undefined ? [] : [rule.annotations?.['runbook'] ?? ''],
    ),
  ];

  it('name an anchor of docs/OPERATE.md', () => {
    for (const runbook of runbooks) assert.match(runbook, /^docs\/OPERATE\.md#alert-[a-z-]+$/);
  });

  it('are there', function () {
    if (!existsSync(new URL('../../../docs/OPERATE.md', import.meta.url))) this.skip();
    const text = read('docs/OPERATE.md');
    for (const runbook of runbooks) {
      const anchor = runbook.split('#')[1]!;
      const heading = new RegExp(`^#+ ${anchor}$|<a (id|name)="${anchor}">`, 'm');
      assert.match(text, heading, `docs/OPERATE.md has the anchor ${anchor}`);
    }
  });
});
