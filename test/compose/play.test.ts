/**
 * The local stack, played: a real Kafka, the store, collector, analytics, gateway, sidecars, the shop
 * and its load, as docker-compose.yml starts them. Ends with requests counted = requests sent, and
 * every call between proxies proved by a certificate.
 */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { accountFor } from '../../demo/account.ts';
import { stateFolder } from '../../bin/state-folder.ts';
import { loadMesh } from '../../mesh/load.ts';
import { proxyPart, storePart } from '../../mesh/parts.ts';
import { createStoreClient } from '../../store/client.ts';
import { requireKafka } from '../helpers/kafka-broker.ts';
import { hasPrometheus, requirePrometheus } from '../helpers/promtool.ts';
import { until } from '../helpers/until.ts';
import { readCompose, servicesOf } from './compose-file.ts';
import { play, type Played } from './play.ts';

/** Enough that each of the shop's operations and all edge classes come up. */
const REQUESTS_LEAST = 60;

describe('docker-compose.yml, played', function () {
  this.timeout(300_000);
  const compose = readCompose();
  let folder = '';
  let played: Played | undefined;

  before(function () {
    if (process.platform === 'linux') requireKafka(this);
    else {
      console.warn('      PENDING: the stack is played on Linux only (addresses of 127/8)');
      this.skip();
    }
  });

  after(async () => {
    await played?.stop();
    if (folder !== '') rmSync(folder, { recursive: true, force: true });
  });

  it('carries the load of profile demo and counts each request once, over Kafka', async () => {
    folder = mkdtempSync(join(tmpdir(), 'azimuth-play-'));
    const fromMs = Date.now();
    const without = hasPrometheus('prometheus') ? ['grafana'] : ['grafana', 'prometheus'];
    played = await play(compose, 'demo', without, folder);
    const { meshFile, environment, translate } = played;
    const collectors = loadMesh(meshFile('collector'), environment('collector'));
    const store = createStoreClient(storePart(collectors));
    try {
      const stored = async (where: string): Promise<number> => {
        const [row] = await store.query<{ n: number }>(
          `SELECT count() AS n FROM spans WHERE ${where}`,
        );
        return row!.n;
      };
      await until(
        async () => (await stored("EdgeClass = 'external_to_gateway'")) >= REQUESTS_LEAST,
        60_000,
      );
      const { code, output } = await played.end('load');
      assert.equal(code, 0, output);
      const [, sent, answered, errors] =
        /^(\d+) requests sent, (\d+) answered, (\d+) errors/m.exec(output) ?? [];
      assert.equal(errors, '0', output);
      assert.equal(answered, sent, output);

      const { gateways, sidecars } = collectors.config;
      const account = await until(async () => {
        const processes = gateways.length + sidecars.length;
        const one = await accountFor(store, { fromMs, sent: Number(sent), processes });
        return one.complete && one;
      }, 90_000);
      assert.equal(account.figures['requests_counted_split'], Number(sent), account.text);
      assert.equal(account.figures['requests_counted_whole'], Number(sent), account.text);
      assert.equal(account.figures['unexplained'], 0, account.text);

      const callers = await store.query<{ class: string; known: string }>(
        `SELECT DISTINCT toString(EdgeClass) AS class, toString(PeerKnown) AS known
         FROM spans WHERE HopVersion > 0`,
      );
      assert.deepEqual(
        callers.map((row) => `${row.class}: ${row.known}`).sort(),
        [
          'external_to_gateway: listener',
          'gateway_to_bff: mtls',
          'gateway_to_workload: mtls',
          'bff_to_workload: mtls',
          'workload_to_workload: mtls',
          'loopback: listener',
        ].sort(),
        'between proxies, certificates say who calls',
      );
      // The applications' own spans, over OTLP/HTTP to the collector.
      await until(async () => (await stored('HopVersion = 0')) > 0, 60_000);

      const url = translate('http://analytics:8088/api/gateway-vs-mesh?last=1h', 'load');
      const report = (await (await fetch(url)).json()) as { requests: number };
      assert.equal(report.requests, Number(sent), 'the API says the same');
    } finally {
      await store.close();
    }
  });

  it('has Prometheus read every process, and evaluate its rules', async function () {
    requirePrometheus(this, 'prometheus');
    if (played === undefined) this.skip();
    await assertScraped(played.translate('http://prometheus:9090', 'load'));
  });

  it('ends each of our processes by itself on SIGTERM, users before what they use', async function () {
    if (played === undefined) this.skip();
    const { end, meshFile, environment } = played;
    const names = servicesOf(compose, 'demo').map(([name]) => name);
    const sidecars = names.filter((name) => name.endsWith('-sidecar'));
    const proxies = ['gateway', ...sidecars];
    const shop = sidecars.map((name) => name.slice(0, -'-sidecar'.length));
    for (const group of [['gateway'], shop, sidecars, ['collector'], ['analytics']]) {
      const ended = await Promise.all(group.map((name) => end(name)));
      ended.forEach(({ code, output }, i) => assert.equal(code, 0, `${group[i]!}: ${output}`));
    }
    for (const name of proxies) {
      const mesh = loadMesh(meshFile(name), environment(name));
      const proxy = name === 'gateway' ? 'edge' : name;
      rmSync(stateFolder(proxyPart(mesh, proxy), meshFile(name)), { recursive: true, force: true });
    }
  });
});

/** Every target of the scrape configuration answers, and the figures are there under their names. */
async function assertScraped(prometheus: string): Promise<void> {
  const query = async (
    promql: string,
  ): Promise<{ metric: Record<string, string>; value: [number, string] }[]> => {
    const url = `${prometheus}/api/v1/query?query=${encodeURIComponent(promql)}`;
    const { data } = (await (await fetch(url)).json()) as {
      data: { result: { metric: Record<string, string>; value: [number, string] }[] };
    };
    return data.result;
  };
  const up = await until(async () => {
    const targets = await query('up');
    return targets.length === 9 && targets.every(({ value }) => value[1] === '1') && targets;
  }, 60_000);
  const jobs = new Set(up.map(({ metric }) => metric['job']));
  assert.deepEqual(
    [...jobs].sort(),
    ['analytics', 'collector', 'gateway', 'sidecar'].map((name) => `azimuth-${name}`),
  );
  for (const [promql, least] of [
    // Two roles by six classes of status, from the start on.
    ['count(azimuth_traffic_requests_total)', 12],
    ['count(azimuth_traffic_legs_total)', 96],
    ['sum(http_server_request_duration_seconds_count{job="azimuth-gateway"})', REQUESTS_LEAST],
    ['count(http_server_request_duration_seconds_count{job="azimuth-sidecar"})', 6],
    ['azimuth_collector_spans_total', REQUESTS_LEAST],
    // A rule: the groups are evaluated.
    ['count(azimuth_slo:unavailable:budget)', 1],
  ] as const) {
    await until(async () => {
      const [first] = await query(promql);
      return first !== undefined && Number(first.value[1]) >= least;
    }, 60_000).catch((error: unknown) => {
      throw new Error(`${promql} is not ${least} or more`, { cause: error });
    });
  }
}
