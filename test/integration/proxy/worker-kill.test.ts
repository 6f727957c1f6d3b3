/** What is known of a worker that was killed under load: real processes, a real store. */
import assert from 'node:assert/strict';
import { reconcile } from '../../../analytics/reconcile.ts';
import { reconcileText } from '../../../analytics/reports/reconcile-text.ts';
import { createPipeline } from '../../../collector/pipeline.ts';
import { silentLog } from '../../../runtime/log.ts';
import { LEDGER_EVENT } from '../../../telemetry/names.ts';
import { startTestStore, type TestStore } from '../../helpers/store.ts';
import { until } from '../../helpers/until.ts';
import { underLoad, WorkersLab, type WorkerLedger } from '../../helpers/workers-lab.ts';

/** The machine's clock read in two ways, by two processes. */
const CLOCKS_APART_MS = 50;

describe('A worker that is killed under load', function () {
  this.timeout(120_000);
  let store: TestStore;
  before(async () => {
    store = await startTestStore();
  });
  after(() => store.stop());

  it('loses at most what it finished since its last flush, and azimuth reconcile shows the bounds', async () => {
    const pipeline = createPipeline({
      store: store.client,
      log: silentLog,
      rowsMax: 50_000,
      batchIntervalMs: 20,
      bytesInFlightMax: 1e9,
      retentionDays: 7,
      now: Date.now,
    });
    pipeline.start();
    const source = { name: 'otlp', partition: 0, offset: 0 };
    const lab = await new WorkersLab({
      store: (signal, body) => pipeline.accept([{ signal, encoding: 'protobuf', body, source }]),
    }).start();
    const fromMs = Date.now() - 60_000;
    let victim!: WorkerLedger;
    const answeredMs = await underLoad(lab, async () => {
      victim = await until(async () => (await lab.workers()).find((w) => w.hops_finished > 100));
      process.kill(victim.pid, 'SIGKILL');
      await until(() => lab.ledgers.some((l) => l.has(`${LEDGER_EVENT}.ended_by_unix_ms`)));
      await until(async () => (await lab.workers()).length === 2);
    });
    await lab.stopGateway();
    await pipeline.stop();

    // The account of long after: what is not there now does not come any more.
    const nowMs = Date.now() + 600_000;
    const result = await reconcile(store.client, { fromMs, toMs: nowMs, nowMs });
    assert.equal(result.boots.length, 3);
    const killed = result.boots.find((boot) => boot.boot_id === victim.boot_id)!;
    const others = result.boots.filter((boot) => boot !== killed);
    for (const other of others) {
      assert.deepEqual([other.state, other.stored], ['closed', other.finished]);
    }
    assert.equal(killed.state, 'ended_without_closing_ledger');
    assert.equal(killed.unexplained, 0, JSON.stringify(killed));

    // Each answer was a hop: those that the others do not have were the killed one's.
    const finished = answeredMs.length - others.reduce((sum, boot) => sum + boot.finished, 0);
    const uncounted = finished - killed.finished;
    assert.ok(uncounted >= 0, `${uncounted} answers are missing`);
    assert.equal(finished, killed.stored + killed.lost_at_end + uncounted);
    // What was not counted was finished between the bounds.
    const { after, before } = killed.ended!;
    const [afterMs, beforeMs] = [Date.parse(after), Date.parse(before)];
    assert.ok(afterMs <= beforeMs);
    const since = answeredMs.filter((ms) => ms >= afterMs - CLOCKS_APART_MS).length;
    assert.ok(uncounted <= since, `${uncounted} not counted, ${since} answered since ${after}`);
    const text = reconcileText(result, 120);
    assert.ok(text.includes(`ended without a closing ledger between ${after} and ${before}`), text);
    await lab.stop();
  });
});
