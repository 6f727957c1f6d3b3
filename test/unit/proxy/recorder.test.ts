import assert from 'node:assert/strict';
import { Recorder } from '../../../proxy/recorder.ts';
import { silentLog } from '../../../runtime/log.ts';
import { createExportQueue } from '../../../transport/export-queue.ts';
import { SAMPLE_RESOURCE, SAMPLE_SHAPE, workedHop } from '../../helpers/hop-samples.ts';

/** A recorder after two finished hops, and the hops that reached its exporter. */
async function recorded(unrecorded: boolean): Promise<{ recorder: Recorder; exported: number }> {
  let exported = 0;
  const queue = createExportQueue({
    exporter: {
      name: 'counting',
      concurrency: 1,
      send: ({ items }) => {
        exported += items;
        return Promise.resolve();
      },
      close: () => Promise.resolve(),
    },
    itemsMax: 100,
    bytesMax: 1e6,
    log: silentLog,
  });
  const recorder = new Recorder({
    resource: SAMPLE_RESOURCE,
    hopFormat: 'packed',
    flushIntervalMs: 1000,
    queue,
    takeLoopDelayMs: () => 0,
    unrecorded,
  });
  const workload = { name: 'edge', namespace: '', version: '', zone: '', role: 'gateway' } as const;
  const shape = recorder.encode(SAMPLE_SHAPE, workload);
  for (let i = 0; i < 2; i++) recorder.record(shape, workedHop());
  recorder.flush();
  await queue.drain(1000);
  queue.close();
  return { recorder, exported };
}

describe('Recorder', () => {
  it('numbers hops from 1 and hands all of them to the queue', async () => {
    const { recorder, exported } = await recorded(false);
    assert.equal(recorder.ledger(false).lastSeq, 2);
    assert.equal(exported, 2);
  });

  it('numbers hops but sends none and counts none by shape where it measures what that costs', async () => {
    const { recorder, exported } = await recorded(true);
    assert.equal(recorder.ledger(false).hopsFinished, 2);
    assert.equal(exported, 0);
    assert.deepEqual(recorder.metrics.snapshot().duration, []);
  });
});
