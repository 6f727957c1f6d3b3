import assert from 'node:assert/strict';
import { Batch } from '../../../collector/batch.ts';
import { createPipeline } from '../../../collector/pipeline.ts';
import { TimeWindow } from '../../../collector/time-window.ts';
import { AzimuthError } from '../../../runtime/errors.ts';
import { silentLog } from '../../../runtime/log.ts';
import { encodeLedger } from '../../../telemetry/ledger-log.ts';
import { assertStoredExactly } from '../../helpers/expected-rows.ts';
import { descending, generateMessages } from '../../helpers/generated-spans.ts';
import { hopMessage } from '../../helpers/hop-messages.ts';
import { SAMPLE_RESOURCE } from '../../helpers/hop-samples.ts';
import { seededRandom } from '../../helpers/prng.ts';
import { startTestStore, type TestStore } from '../../helpers/store.ts';

const SEED = 31;
const SOURCE = { name: 'otlp_spans', partition: 11, offset: 5_000_000_000 };

describe('Collector into the real store', function () {
  this.timeout(120_000);
  let store: TestStore;
  const nowMs = Date.now();
  const startUnixNs = BigInt(nowMs - 3_600_000) * 1_000_000n;

  before(async () => {
    store = await startTestStore();
  });
  after(async () => {
    await store.stop();
  });
  beforeEach(async () => {
    for (const table of ['spans', 'ledgers', 'dead_letters']) {
      await store.client.command(`TRUNCATE TABLE ${table}`);
    }
  });

  const pipelineOf = () => {
    const pipeline = createPipeline({
      store: store.client,
      log: silentLog,
      rowsMax: 8_000,
      batchIntervalMs: 5,
      bytesInFlightMax: 1e9,
      retentionDays: 7,
      now: () => nowMs,
    });
    pipeline.start();
    return pipeline;
  };

  for (const order of ['ascending', 'descending'] as const) {
    it(`stores 20,000 generated spans exactly, fields ${order}`, async () => {
      const pipeline = pipelineOf();
      const messages = [
        ...generateMessages({ seed: SEED, messages: 100, spansPerMessage: 200, startUnixNs }),
      ];
      const rows = messages.flatMap((message) => message.rows);
      assert.ok(rows.length >= 20_000);
      const accepted = await Promise.all(
        messages.map(({ body }) =>
          pipeline.accept([
            {
              signal: 'traces',
              encoding: 'protobuf',
              body: order === 'ascending' ? body : descending(body),
              source: SOURCE,
            },
          ]),
        ),
      );
      assert.equal(
        accepted.reduce((sum, { spans }) => sum + spans, 0),
        rows.length,
      );
      await assertStoredExactly(store.client, 'spans', rows);
      const [where] = await store.client.query<Record<string, unknown>>(
        'SELECT any(Source) AS s, any(SourcePartition) AS p, any(SourceOffset) AS o FROM spans',
      );
      assert.deepEqual(where, { s: 'otlp_spans', p: 11, o: 5_000_000_000 });
      await pipeline.stop();
    });
  }

  it('stores hops, ledgers and dead letters so that each column can be read', async () => {
    const pipeline = pipelineOf();
    const ledger = {
      lastSeq: 3,
      hopsFinished: 3,
      emitted: 2,
      dropped: { queue_full: 1, shutdown: 0 },
      spooled: 9,
      attempts: 3,
      cpuNs: 1,
      rssBytes: 2,
      loopDelayNs: 3,
      inFlight: 0,
      closing: true,
    };
    const nowNs = BigInt(nowMs) * 1_000_000n;
    const message = (signal: 'traces' | 'logs', body: Buffer) => ({
      signal,
      encoding: 'protobuf' as const,
      body,
      source: SOURCE,
    });
    await pipeline.accept([
      message('traces', hopMessage({ startUnixMs: nowMs, seq: 1 })),
      message('traces', hopMessage({ startUnixMs: nowMs, seq: 2, hopFormat: 'attributes' })),
      message('traces', hopMessage({ startUnixMs: Date.UTC(1970, 1, 1), seq: 3 })),
      message('traces', Buffer.from([255, 0, 10, 10, 0, 255])),
      message('logs', encodeLedger(ledger, SAMPLE_RESOURCE, nowNs)),
    ]);
    const [hop] = await store.client.query<Record<string, unknown>>(
      'SELECT * FROM spans WHERE Seq = 1',
    );
    assert.equal(hop!['EdgeClass'], 'bff_to_workload');
    assert.deepEqual(hop!['AttemptList.Status'], [503, 200]);
    const [view] = await store.client.query<Record<string, unknown>>(
      'SELECT SpanName FROM otel_traces WHERE SpanKind = {kind:String} LIMIT 1',
      { kind: 'Server' },
    );
    assert.equal(view!['SpanName'], 'GET /products/{id}');
    const [row] = await store.client.query<Record<string, unknown>>('SELECT * FROM ledgers');
    assert.deepEqual(row!['Dropped'], { queue_full: 1, shutdown: 0 });
    assert.equal(row!['BootId'], SAMPLE_RESOURCE.bootId);
    const letters = await store.client.query<Record<string, unknown>>(
      'SELECT Reason, Items, BootIds, Seqs, BodyBytes, hex(Body) AS body FROM dead_letters ORDER BY Reason',
    );
    assert.deepEqual(
      letters.map((letter) => letter['Reason']),
      ['malformed', 'out_of_window'],
    );
    assert.equal(letters[0]!['body'], 'FF000A0A00FF');
    assert.deepEqual(letters[1]!['Seqs'], [3]);
    assert.deepEqual(letters[1]!['BootIds'], [SAMPLE_RESOURCE.bootId]);
    await pipeline.stop();
  });

  it('inserts what is left of mutated messages: every block adds up for the engine', async () => {
    const random = seededRandom(SEED);
    const messages = [
      ...generateMessages({ seed: SEED, messages: 50, spansPerMessage: 4, startUnixNs }),
    ];
    const batch = new Batch();
    const window = new TimeWindow(nowMs, 7);
    let spans = 0;
    for (let n = 0; n < 3000; n++) {
      const body = Buffer.from(messages[n % messages.length]!.body);
      for (let flips = 1 + Math.floor(random() * 3); flips > 0; flips--) {
        body[Math.floor(random() * body.length)] = Math.floor(random() * 256);
      }
      spans += batch.add(
        { signal: 'traces', encoding: 'protobuf', body, source: SOURCE },
        window,
      ).spans;
      if (n % 500 === 499) {
        for (const block of batch.seal()) {
          await store.client.insertNative(block.table, block.bytes);
        }
      }
    }
    const [counted] = await store.client.query<{ n: number; sum: number }>(
      'SELECT count() AS n, sum(cityHash64(*) % 7) AS sum FROM spans',
    );
    assert.equal(counted!.n, spans, `seed ${SEED}`);
    assert.ok(spans > 1000);
  });

  it('tells a missing table from bad data by a block without rows', async () => {
    const batch = new Batch();
    for (const table of ['spans', 'ledgers', 'dead_letters']) {
      await store.client.insertNative(table, batch.emptyBlock(table));
    }
    await assert.rejects(
      store.client.insertNative('no_such_table', batch.emptyBlock('spans')),
      (error) => error instanceof AzimuthError && !error.retryable,
    );
    assert.deepEqual(await store.client.query('SELECT * FROM spans'), []);
  });
});
