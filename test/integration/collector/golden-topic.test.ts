/** Topics of every release until now, read by this one (test/helpers/golden-topic.ts says why). */
import assert from 'node:assert/strict';
import { readFileSync, readdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { reconcile } from '../../../analytics/reconcile.ts';
import { readGatewayVsMesh } from '../../../analytics/reports/gateway-vs-mesh.ts';
import { PERSPECTIVES } from '../../../telemetry/edge-class.ts';
import {
  hopRows,
  readTopic,
  RETENTION_DAYS,
  storeTopic,
  type GoldenFacts,
} from '../../helpers/golden-topic.ts';
import { startTestStore, type TestStore } from '../../helpers/store.ts';

const FOLDER = fileURLToPath(new URL('../../fixtures/golden/', import.meta.url));
const releases = readdirSync(FOLDER, { withFileTypes: true })
  .filter((entry) => entry.isDirectory())
  .map(({ name }) => name);

describe('the topic of a release', function () {
  this.timeout(60_000);

  it('is kept for the first one', () => {
    assert.ok(releases.includes('0.1'), releases.join());
  });

  for (const release of releases) {
    describe(release, () => {
      const folder = `${FOLDER}${release}/`;
      const facts = JSON.parse(readFileSync(`${folder}facts.json`, 'utf8')) as GoldenFacts;
      const sent = Object.values(facts.requests).reduce((sum, count) => sum + count, 0);
      const rejected: string[] = [];
      let store: TestStore;

      before(async () => {
        store = await startTestStore({ retention_days: RETENTION_DAYS });
        for (const topology of Object.keys(facts.requests)) {
          const messages = readTopic(topology, readFileSync(`${folder}${topology}.bin`));
          assert.ok(messages.some(({ signal }) => signal === 'traces'));
          assert.ok(messages.some(({ signal }) => signal === 'logs'));
          rejected.push(...(await storeTopic(store.client, messages, facts.recorded_ms)));
        }
      });
      after(() => store.stop());

      it('is taken without a dead letter', () => {
        assert.deepEqual(rejected, []);
      });

      it('becomes the rows that it became then, column by column', async () => {
        const then = readFileSync(`${folder}hops.jsonl`, 'utf8');
        const columns = JSON.parse(then.slice(0, then.indexOf('\n'))) as string[];
        const now = await hopRows(store.client, columns);
        assert.deepEqual(now.split('\n'), then.split('\n'));
      });

      it('counts the requests that were sent, under both perspectives, and explains every hop', async () => {
        const window = { fromMs: facts.recorded_ms - 3_600_000, toMs: facts.recorded_ms + 1 };
        for (const perspective of PERSPECTIVES) {
          const report = await readGatewayVsMesh(store.client, window, perspective, {
            retentionDays: RETENTION_DAYS,
          });
          assert.equal(report.requests, sent, perspective);
        }
        const { totals } = await reconcile(store.client, {
          ...window,
          retentionDays: RETENTION_DAYS,
          nowMs: facts.recorded_ms + 3_600_000,
        });
        assert.equal(totals.finished, totals.stored);
        assert.equal(totals.unexplained, 0);
        assert.ok(totals.finished > sent);
      });
    });
  }
});
