/**
 * The Prometheus rules against what the processes really say on /metrics: each name, each label and
 * each value that a rule asks for must be there. The PromQL is read by Prometheus's own grammar.
 */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { parser } from '@prometheus-io/lezer-promql';
import { parse } from 'yaml';
import { ClosedTraffic } from '../../../analytics/closed-traffic.ts';
import { jobMetrics } from '../../../analytics/metrics.ts';
import { trafficMetrics } from '../../../analytics/traffic-metrics.ts';
import { collectorMetrics } from '../../../collector/metrics.ts';
import { createPipeline } from '../../../collector/pipeline.ts';
import { silentLog } from '../../../runtime/log.ts';
import { createFakeStore } from '../../helpers/fake-store.ts';
import { PROMETHEUS_RULE_FILES, readPrometheusRules } from '../../helpers/prometheus-rules.ts';
import { get, withLab } from '../../helpers/proxy-lab.ts';

interface Selector {
  readonly name: string;
  readonly matchers: readonly { label: string; op: string; value: string }[];
}

/** Of a Kafka receiver that read nothing yet; without one its metrics are not there. */
const KAFKA_STATS = {
  ...{ messages: 0, bytes: 0, emptyMessages: 0, retries: 0, commits: 0 },
  ...{ commitFailures: 0, crashes: 0, deleted: 0, beganPastStart: 0, lag: 0 },
};

/** What a PromQL expression asks for. Throws where it is none. */
function selectorsOf(expr: string): Selector[] {
  const selectors: Selector[] = [];
  parser.parse(expr).iterate({
    enter(node) {
      assert.ok(!node.type.isError, `${expr}\nis wrong at ${node.from}: ${expr.slice(node.from)}`);
      if (node.name !== 'VectorSelector') return;
      const text = expr.slice(node.from, node.to);
      const [, name = '', inside = ''] = /^([a-zA-Z_:][\w:]*)\s*(?:\{(.*)\})?$/s.exec(text) ?? [];
      const matchers = [...inside.matchAll(/(\w+)\s*(=~|!~|!=|=)\s*"([^"]*)"/g)];
      selectors.push({
        name,
        matchers: matchers.map(([, label = '', op = '', value = '']) => ({ label, op, value })),
      });
    },
  });
  return selectors;
}

/** Labels and their values by metric. */
function exposed(text: string): Map<string, Map<string, Set<string>>> {
  const metrics = new Map<string, Map<string, Set<string>>>();
  const of = (name: string): Map<string, Set<string>> => {
    const found = metrics.get(name) ?? new Map<string, Set<string>>();
    metrics.set(name, found);
    return found;
  };
  for (const line of text.split('\n')) {
    // A metric without a value yet is known by its type.
    const typed = /^# TYPE (\S+) (?:counter|gauge)$/.exec(line)?.[1];
    if (typed !== undefined) of(typed);
    const [, name, labels = ''] = /^([a-z]\w*)(?:\{(.*)\})? \S+$/.exec(line) ?? [];
    if (name === undefined) continue;
    for (const [, label = '', value = ''] of labels.matchAll(/(\w+)="([^"]*)"/g)) {
      of(name).set(label, (of(name).get(label) ?? new Set()).add(value));
    }
  }
  return metrics;
}

describe('Prometheus rules', () => {
  const rules = readPrometheusRules();
  const recorded = new Set(rules.flatMap((rule) => rule.record ?? []));
  const config = parse(
    readFileSync(
      new URL('../../../dashboards/prometheus/prometheus.yaml', import.meta.url),
      'utf8',
    ),
  ) as { rule_files: string[]; scrape_configs: { job_name: string }[] };
  const jobs = config.scrape_configs.map((scrape) => scrape.job_name);
  let proxy = new Map<string, Map<string, Set<string>>>();
  let collector = new Map<string, Map<string, Set<string>>>();
  let analytics = new Map<string, Map<string, Set<string>>>();

  before(async () => {
    await withLab({}, async (lab) => {
      await lab.exchange(get('/a'), '\r\n\r\n');
      await lab.hops(1);
      const page = await fetch(`http://127.0.0.1:${lab.proxy.adminPort()}/metrics`);
      proxy = exposed(await page.text());
    });
    const pipeline = createPipeline({
      store: createFakeStore().client,
      log: silentLog,
      rowsMax: 10,
      batchIntervalMs: 1000,
      bytesInFlightMax: 1000,
      now: Date.now,
      retentionDays: 7,
    });
    collector = exposed(collectorMetrics(pipeline.stats(), KAFKA_STATS));
    const closed = new ClosedTraffic({ store: createFakeStore().client, nowMs: () => 0 });
    analytics = exposed(trafficMetrics(jobMetrics([], 0), closed).toString());
  });

  it('are the ones that the scrape configuration names', () => {
    assert.deepEqual(config.rule_files, PROMETHEUS_RULE_FILES);
  });

  for (const rule of readPrometheusRules()) {
    it(`ask for what there is: ${rule.record ?? rule.alert ?? ''}`, () => {
      const selectors = selectorsOf(rule.expr);
      assert.ok(selectors.length > 0 || rule.expr.startsWith('vector('));
      for (const { name, matchers } of selectors) {
        const labels = proxy.get(name) ?? collector.get(name) ?? analytics.get(name);
        // Labels of what rules record are those of the metrics that they ask for; promtool.test.ts has values.
        if (recorded.has(name)) continue;
        const known = labels !== undefined || name === 'up';
        assert.ok(known, `nothing is called ${name}`);
        for (const { label, op, value } of matchers) {
          if (label === 'job') {
            const test = op === '=~' ? new RegExp(`^(?:${value})$`) : undefined;
            assert.ok(
              jobs.some((job) => test?.test(job) ?? job === value),
              `${name}: job ${value}`,
            );
          } else {
            assert.ok(labels?.has(label) === true, `${name} has the label ${label}`);
          }
        }
      }
    });
  }

  it('say what they found, where to read on, and how bad it is', () => {
    for (const rule of rules) {
      if (rule.alert === undefined) continue;
      assert.match(rule.alert, /^Azimuth[A-Za-z]+$/);
      assert.match(rule.labels?.['severity'] ?? '', /^(critical|warning)$/, rule.alert);
      assert.match(rule.annotations?.['summary'] ?? '', /\.$/, rule.alert);
    }
  });

  it('are refused by the grammar when they are wrong', () => {
    assert.throws(() => selectorsOf('sum by (job (rate(up[5m]))'));
  });
});
