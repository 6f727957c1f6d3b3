/**
 * deploy/example, two services of one's own in the profile `mesh`, as docs/MESH-YOUR-SERVICES.md works it:
 * loaded by Compose's own loader, then played from the first request to the first report.
 */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { accountFor } from '../../demo/account.ts';
import { loadMesh } from '../../mesh/load.ts';
import { storePart } from '../../mesh/parts.ts';
import { createStoreClient } from '../../store/client.ts';
import { requireKafka } from '../helpers/kafka-broker.ts';
import { until } from '../helpers/until.ts';
import { ROOT, readCompose, readOne, servicesOf, type ComposeFile } from './compose-file.ts';
import { play, type Played } from './play.ts';

const EXAMPLE = 'deploy/example';
const DOCUMENT = readFileSync(`${ROOT}docs/MESH-YOUR-SERVICES.md`, 'utf8');
const read = (file: string): string => readFileSync(`${ROOT}${EXAMPLE}/${file}`, 'utf8');
const REQUESTS = 20;

/** The example's own services beside those of profile mesh, as `include` puts them together. */
function composeOfExample(): ComposeFile {
  const compose = readCompose();
  const own = Object.entries(readOne(read('compose.yaml')).services).map(
    ([name, service]) =>
      [
        name,
        {
          ...service,
          profiles: ['mesh'],
          volumes: service.volumes?.map((volume) => volume.replace(/^\.\//, `./${EXAMPLE}/`)) ?? [],
        },
      ] as const,
  );
  return {
    ...compose,
    services: { ...Object.fromEntries(servicesOf(compose, 'mesh')), ...Object.fromEntries(own) },
    configs: { mesh: { file: `${EXAMPLE}/mesh.yaml` } },
  };
}

describe('services of your own (deploy/example)', function () {
  this.timeout(300_000);
  let folder = '';
  let played: Played | undefined;

  after(async () => {
    await played?.stop();
    if (folder !== '') rmSync(folder, { recursive: true, force: true });
  });

  it('are shown in the document as they stand in the files', () => {
    for (const file of ['compose.before.yaml', 'compose.yaml', 'mesh.yaml']) {
      const lines = read(file)
        .split('\n')
        .filter((line) => line !== '' && !line.startsWith('#'));
      for (const line of lines) assert.ok(DOCUMENT.includes(line), `${file}: ${line}`);
    }
  });

  it('keep image, command and files: only network, listening address and one URL change', () => {
    const before = readOne(read('compose.before.yaml')).services;
    const now = readOne(read('compose.yaml')).services;
    for (const [name, service] of Object.entries(before)) {
      assert.equal(now[name]!.image, service.image);
      assert.deepEqual(now[name]!.command, service.command);
      assert.deepEqual(now[name]!.volumes, service.volumes);
      assert.equal(now[name]!.network_mode, `service:${name}-sidecar`);
      assert.equal(now[name]!.ports, undefined, 'nobody reaches it but through its sidecar');
    }
  });

  it('answer through the gateway, and the first report counts each request', async function () {
    if (process.platform !== 'linux') this.skip();
    requireKafka(this);
    folder = mkdtempSync(join(tmpdir(), 'azimuth-own-'));
    const fromMs = Date.now();
    played = await play(composeOfExample(), 'mesh', ['grafana'], folder);
    const { meshFile, environment, translate } = played;
    const url = translate('http://gateway:8080/apples', 'gateway');
    // They say nothing about their health, so the first request may come before they listen.
    let sent = 0;
    await until(async () => {
      sent++;
      const answer = await fetch(url);
      await answer.text();
      return answer.ok;
    });
    for (let i = 0; i < REQUESTS; i++, sent++) {
      const answer = await fetch(url);
      assert.equal(`${answer.status} ${await answer.text()}`, '200 6 left\n');
    }
    const mesh = loadMesh(meshFile('analytics'), environment('analytics'));
    const store = createStoreClient(storePart(mesh));
    try {
      const account = await until(async () => {
        const one = await accountFor(store, { fromMs, sent, processes: 3 });
        return one.complete && one;
      }, 90_000);
      assert.equal(account.figures['requests_counted_split'], sent, account.text);
      const edges = await store.query<{
        service: string;
        peer: string;
        class: string;
        known: string;
      }>(
        `SELECT DISTINCT toString(ServiceName) AS service, toString(Peer) AS peer, toString(EdgeClass) AS class,
           toString(PeerKnown) AS known
         FROM spans WHERE HopVersion > 0 AND EdgeClass != 'loopback' ORDER BY class`,
      );
      assert.deepEqual(
        edges.map(
          ({ class: edge, peer, service, known }) => `${edge}: ${peer} -> ${service}, ${known}`,
        ),
        [
          'external_to_gateway:  -> edge, listener',
          'gateway_to_workload: edge -> web, mtls',
          'workload_to_workload: web -> stock, mtls',
        ],
      );
    } finally {
      await store.close();
    }
    const report = spawnSync(
      process.execPath,
      [join(ROOT, 'bin/azimuth.js'), 'report', 'gateway-vs-mesh', '--last', '15m'],
      { env: environment('analytics'), encoding: 'utf8', timeout: 60_000 },
    );
    assert.equal(report.status, 0, report.stderr);
    assert.match(report.stdout, new RegExp(`^\\s*${sent} requests from outside`, 'm'));
    assert.match(report.stdout, /unexplained 0/);
  });
});
