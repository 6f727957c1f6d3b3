/**
 * Rules, scrape configuration and the text of /metrics, read and evaluated by Prometheus' own tool.
 * What the rules must find stands in promtool/*.yaml.
 */
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { ClosedTraffic } from '../../../analytics/closed-traffic.ts';
import { trafficMetrics } from '../../../analytics/traffic-metrics.ts';
import { MetricsText } from '../../../runtime/metrics-text.ts';
import { createFakeStore } from '../../helpers/fake-store.ts';
import { promtool, requirePrometheus } from '../../helpers/promtool.ts';
import { PROMETHEUS_RULE_FILES } from '../../helpers/prometheus-rules.ts';

const path = (relative: string): string => fileURLToPath(new URL(relative, import.meta.url));
const RULES = path('../../../dashboards/prometheus/');
const UNIT_TESTS = [
  'certificates',
  'traffic',
  'objective-over-hours',
  'objective-over-days',
] as const;
const fileOf = (name: (typeof UNIT_TESTS)[number]): string => path(`./promtool/${name}.yaml`);

describe('promtool', function () {
  this.timeout(180_000);
  let folder = '';

  before(function () {
    requirePrometheus(this, 'promtool');
    folder = mkdtempSync(join(tmpdir(), 'azimuth-promtool-'));
  });
  after(() => {
    if (folder !== '') rmSync(folder, { recursive: true });
  });

  const passes = (args: readonly string[], input?: string): void => {
    const { code, output } = promtool(args, input);
    assert.equal(code, 0, output);
  };

  it('takes the scrape configuration with its rules', () => {
    passes(['check', 'config', `${RULES}prometheus.yaml`]);
    for (const file of PROMETHEUS_RULE_FILES) passes(['check', 'rules', RULES + file]);
    // Debian builds promtool without discovery in Kubernetes: the rest, with a target of its own.
    const text = readFileSync(`${RULES}kubernetes.yaml`, 'utf8');
    const found = /kubernetes_sd_configs:\n *- .*$/m;
    assert.match(text, found);
    writeFileSync(
      join(folder, 'kubernetes.yaml'),
      text
        .replace(found, "static_configs: [{ targets: ['pod:1'] }]")
        .replaceAll(/- (azimuth-.*rules\.yaml)/g, `- ${RULES}$1`),
    );
    passes(['check', 'config', join(folder, 'kubernetes.yaml')]);
  });

  it('finds by the rules what they are to find, and nothing else', () => {
    passes(['test', 'rules', ...UNIT_TESTS.map(fileOf)]);
  });

  it('would not, were a factor or a join of the rules another', () => {
    const rules = readFileSync(`${RULES}azimuth-traffic-rules.yaml`, 'utf8');
    for (const [from, to, name] of [
      ['14.4 * ', '144 * ', 'objective-over-hours'],
      ['> 6 * ', '> 60 * ', 'objective-over-hours'],
      ['vector(0.001)', 'vector(0.01)', 'objective-over-days'],
      ['max without (instance)', 'sum without (instance)', 'traffic'],
    ] as const) {
      assert.ok(rules.includes(from), from);
      const test = readFileSync(fileOf(name), 'utf8');
      writeFileSync(join(folder, 'rules.yaml'), rules.replaceAll(from, to));
      writeFileSync(
        join(folder, 'test.yaml'),
        test.replace(/^rule_files: .*$/m, 'rule_files: [rules.yaml]'),
      );
      assert.notEqual(promtool(['test', 'rules', join(folder, 'test.yaml')]).code, 0, from);
    }
  });

  it('has nothing against the text of the traffic on /metrics', () => {
    const closed = new ClosedTraffic({ store: createFakeStore().client, nowMs: () => 0 });
    passes(['check', 'metrics'], trafficMetrics(new MetricsText(), closed).toString());
  });
});
