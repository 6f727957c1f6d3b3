import assert from 'node:assert/strict';
import {
  createPipeline,
  type InboundMessage,
  type Pipeline,
  type PipelineSettings,
} from '../../../collector/pipeline.ts';
import { AzimuthError } from '../../../runtime/errors.ts';
import { silentLog } from '../../../runtime/log.ts';
import { encodeLedger } from '../../../telemetry/ledger-log.ts';
import {
  createFakeStore,
  storeAway,
  storeRefuses,
  type FakeStore,
} from '../../helpers/fake-store.ts';
import { hopMessage } from '../../helpers/hop-messages.ts';
import { SAMPLE_RESOURCE } from '../../helpers/hop-samples.ts';
import { tracesOf } from '../../helpers/otlp-proto.ts';

const NOW_MS = Date.UTC(2026, 0, 10, 12);
const SOURCE = { name: 'otlp_spans', partition: 3, offset: 77 };
const KILLED = {
  lastSeq: 9,
  hopsFinished: 9,
  emitted: 7,
  dropped: {},
  spooled: 0,
  attempts: 9,
  cpuNs: 1,
  rssBytes: 1,
  loopDelayNs: 1,
  inFlight: 1,
  closing: false,
};

function traces(names: readonly string[], atMs = NOW_MS): InboundMessage {
  const startUnixNs = BigInt(atMs) * 1_000_000n;
  const body = tracesOf(names.map((name) => ({ service: 'shop', name, startUnixNs })));
  return { signal: 'traces', encoding: 'protobuf', body, source: SOURCE };
}
const garbage: InboundMessage = {
  signal: 'traces',
  encoding: 'protobuf',
  body: Buffer.from('not protobuf at all'),
  source: SOURCE,
};

function start(settings: Partial<PipelineSettings> = {}): { store: FakeStore; pipeline: Pipeline } {
  const store = createFakeStore();
  const pipeline = createPipeline({
    store: store.client,
    log: silentLog,
    rowsMax: 1000,
    batchIntervalMs: 0,
    bytesInFlightMax: 1_000_000,
    retentionDays: 7,
    now: () => NOW_MS,
    retryForMs: 0,
    ...settings,
  });
  pipeline.start();
  return { store, pipeline };
}

const isRetryable = (error: unknown): boolean => error instanceof AzimuthError && error.retryable;

describe('Pipeline', () => {
  it('resolves only after the store confirmed', async () => {
    const { store, pipeline } = start();
    const gate = Promise.withResolvers<undefined>();
    store.behave = () => gate.promise;
    let resolved = false;
    const accepted = pipeline.accept([traces(['a', 'b'])]).then((result) => {
      resolved = true;
      return result;
    });
    while (store.tried.length === 0) await new Promise(setImmediate);
    assert.equal(resolved, false);
    assert.ok(pipeline.stats().bytesInFlight > 0);
    gate.resolve(undefined);
    assert.deepEqual(await accepted, { spans: 2, ledgers: 0, rejected: [] });
    assert.deepEqual(store.column('spans', 'SpanName'), ['a', 'b']);
    assert.equal(pipeline.stats().bytesInFlight, 0);
  });

  it('lets concurrent calls share one insert', async () => {
    const { store, pipeline } = start();
    await Promise.all(['a', 'b', 'c'].map((name) => pipeline.accept([traces([name])])));
    assert.equal(store.stored.length, 1);
    assert.equal(store.rows('spans'), 3);
  });

  it('fills the next batch while one is being inserted, and inserts one at a time', async () => {
    const { store, pipeline } = start({ rowsMax: 2 });
    let open = 0;
    let most = 0;
    store.behave = async () => {
      most = Math.max(most, ++open);
      await new Promise(setImmediate);
      open--;
    };
    const calls = Array.from({ length: 10 }, (_, i) => pipeline.accept([traces([`s${i}`])]));
    await Promise.all(calls);
    assert.equal(most, 1);
    assert.equal(store.rows('spans'), 10);
    assert.ok(store.stored.every(({ block }) => block.rows <= 2));
  });

  it('resolves a call whose messages went into several inserts only after the last of them', async () => {
    const { store, pipeline } = start({ rowsMax: 2 });
    let resolved = false;
    store.behave = async () => {
      await new Promise(setImmediate);
      assert.equal(resolved, false);
    };
    const messages = Array.from({ length: 9 }, (_, i) => traces([`s${i}`]));
    const accepted = pipeline.accept(messages).then((result) => {
      resolved = true;
      return result;
    });
    assert.equal((await accepted).spans, 9);
    assert.equal(store.rows('spans'), 9);
    assert.ok(store.stored.length > 1);
  });

  it('rejects a call when one of its inserts failed, and forgets the rest of it', async () => {
    const { store, pipeline } = start({ rowsMax: 2 });
    store.behave = () => {
      if (store.tried.length > 1) throw storeAway();
    };
    const messages = Array.from({ length: 9 }, (_, i) => traces([`s${i}`]));
    await assert.rejects(pipeline.accept(messages), isRetryable);
    store.behave = () => undefined;
    assert.equal((await pipeline.accept([traces(['next'])])).spans, 1);
    assert.equal(pipeline.stats().bytesInFlight, 0);
    assert.ok(store.rows('spans') < 9);
  });

  it('sends the same block with the same token again while the store is away', async () => {
    const { store, pipeline } = start({ retryForMs: 10_000, retryBaseMs: 1 });
    store.behave = () => {
      if (store.tried.length === 1) throw storeAway();
    };
    assert.equal((await pipeline.accept([traces(['a'])])).spans, 1);
    assert.equal(store.tried.length, 2);
    assert.deepEqual(store.tried[0], store.tried[1]);
    assert.match(store.tried[0]!.token!, /-spans$/);
    assert.equal(pipeline.stats().insertFailures, 1);
  });

  it('makes the next block in the memory of one that is stored, never in that of a failed request', async () => {
    const { store, pipeline } = start({ retryForMs: 10_000, retryBaseMs: 1 });
    const memory: ArrayBufferLike[] = [];
    store.client.insertNative = (table, block, options) => {
      if (table === 'spans') memory.push(block.buffer);
      return store.insertNative(table, block, options);
    };
    for (const name of ['a', 'b']) await pipeline.accept([traces([name])]);
    store.behave = () => {
      if (store.tried.length === 3) throw storeAway();
    };
    for (const name of ['c', 'd']) await pipeline.accept([traces([name])]);
    const [a, b, c, again, d] = memory;
    assert.equal(b, a);
    assert.equal(c, a);
    assert.equal(again, c);
    assert.notEqual(d, c);
    assert.deepEqual(store.column('spans', 'SpanName'), ['a', 'b', 'c', 'd']);
  });

  it('rejects as retryable when the store stays away, and takes the message when it is sent again', async () => {
    const { store, pipeline } = start();
    store.behave = () => {
      throw storeAway();
    };
    await assert.rejects(pipeline.accept([traces(['a'])]), isRetryable);
    assert.equal(pipeline.stats().bytesInFlight, 0);
    assert.match(pipeline.stats().storeError!, /reached/);
    store.behave = () => undefined;
    assert.equal((await pipeline.accept([traces(['a'])])).spans, 1);
    assert.equal(pipeline.stats().storeError, undefined);
  });

  it('tells those that wait behind a failed insert at once, so that none waits for two', async () => {
    const { store, pipeline } = start({ rowsMax: 1 });
    const gate = Promise.withResolvers<undefined>();
    store.behave = async () => {
      await gate.promise;
      throw storeAway();
    };
    const calls = ['in flight', 'in the batch', 'in the queue'].map((name) =>
      pipeline.accept([traces([name])]),
    );
    gate.resolve(undefined);
    await Promise.all(calls.map((call) => assert.rejects(call, isRetryable)));
    assert.equal(store.tried.length, 1);
    assert.equal(pipeline.stats().bytesInFlight, 0);
    store.behave = () => undefined;
    assert.equal((await pipeline.accept([traces(['again'])])).spans, 1);
    assert.deepEqual(store.column('spans', 'SpanName'), ['again']);
  });

  it('turns calls away when too many bytes are in flight, and takes them again afterwards', async () => {
    const { store, pipeline } = start({ bytesInFlightMax: 2000 });
    const gate = Promise.withResolvers<undefined>();
    store.behave = () => gate.promise;
    const first = pipeline.accept([traces(['x'.repeat(1500)])]);
    await assert.rejects(
      pipeline.accept([traces(['b'])]),
      (e) => isRetryable(e) && (e as AzimuthError).code === 'AZ_COLLECTOR_BUSY',
    );
    gate.resolve(undefined);
    await first;
    assert.equal((await pipeline.accept([traces(['b'])])).spans, 1);
    assert.equal(pipeline.stats().turnedAway, 1);
  });

  it('dead-letters a message that cannot be read, whole, and stores its neighbours', async () => {
    const { store, pipeline } = start();
    const result = await pipeline.accept([traces(['a']), garbage, traces(['b'])]);
    assert.equal(result.spans, 2);
    assert.deepEqual(
      result.rejected.map(({ reason, items }) => ({ reason, items })),
      [{ reason: 'malformed', items: 0 }],
    );
    assert.deepEqual(store.column('spans', 'SpanName'), ['a', 'b']);
    assert.deepEqual(store.column('dead_letters', 'Body'), ['not protobuf at all']);
    assert.deepEqual(store.column('dead_letters', 'Source'), ['otlp_spans']);
    assert.deepEqual(store.column('dead_letters', 'SourceOffset'), [77n]);
    assert.equal(pipeline.stats().rejected['malformed'], 1);
  });

  it('dead-letters spans of 1970 and 2100 with boot id and sequence, and stores the rest', async () => {
    const { store, pipeline } = start();
    const at = (ms: number, seq: number): Buffer => hopMessage({ startUnixMs: ms, seq });
    const body = Buffer.concat([
      at(Date.UTC(1970, 1, 1), 1),
      at(NOW_MS, 2),
      at(Date.UTC(2100, 1, 1), 3),
    ]);
    const message: InboundMessage = {
      signal: 'traces',
      encoding: 'protobuf',
      body,
      source: SOURCE,
    };
    const result = await pipeline.accept([message]);
    assert.equal(result.spans, 1);
    assert.deepEqual(
      result.rejected.map(({ reason, items }) => ({ reason, items })),
      [{ reason: 'out_of_window', items: 2 }],
    );
    assert.deepEqual(store.column('spans', 'Seq'), [2n]);
    assert.deepEqual(store.column('dead_letters', 'Seqs'), [[1n, 3n]]);
    const { bootId } = SAMPLE_RESOURCE;
    assert.deepEqual(store.column('dead_letters', 'BootIds'), [[bootId, bootId]]);
    assert.deepEqual(store.column('dead_letters', 'Items'), [2]);
  });

  it('stores ledgers and discards other log records, counted', async () => {
    const { store, pipeline } = start();
    const ledger = {
      lastSeq: 9,
      hopsFinished: 9,
      emitted: 7,
      dropped: { queue_full: 2 },
      spooled: 9,
      attempts: 11,
      cpuNs: 5_000_000_000_000,
      rssBytes: 90_000_000,
      loopDelayNs: 400_000,
      inFlight: 1,
      closing: true,
    };
    const body = encodeLedger(ledger, SAMPLE_RESOURCE, BigInt(NOW_MS) * 1_000_000n);
    const logs = (bytes: Buffer): InboundMessage => ({
      signal: 'logs',
      encoding: 'protobuf',
      body: bytes,
      source: SOURCE,
    });
    const other = Buffer.from(
      body.toString('latin1').replaceAll('azimuth.ledger', 'another.ledger'),
      'latin1',
    );
    const result = await pipeline.accept([logs(body), logs(other)]);
    assert.deepEqual(result, { spans: 0, ledgers: 1, rejected: [] });
    assert.equal(pipeline.stats().otherLogs, 1);
    const cell = (name: string): unknown => store.column('ledgers', name)[0];
    assert.equal(cell('BootId'), SAMPLE_RESOURCE.bootId);
    assert.equal(cell('Proxy'), SAMPLE_RESOURCE.proxyName);
    assert.equal(cell('Role'), 2);
    assert.equal(cell('LastSeq'), 9n);
    assert.equal(cell('Emitted'), 7n);
    assert.equal(cell('CpuNs'), 5_000_000_000_000n);
    assert.deepEqual(cell('Dropped'), [['queue_full', 2n]]);
    assert.equal(cell('Closing'), 1);
  });

  it('stores by when a killed process had ended, and no time that cannot be', async () => {
    const { store, pipeline } = start();
    const end = (endedByMs: number): InboundMessage => ({
      signal: 'logs',
      encoding: 'protobuf',
      body: encodeLedger({ ...KILLED, endedByMs }, SAMPLE_RESOURCE, BigInt(NOW_MS) * 1_000_000n),
      source: SOURCE,
    });
    await pipeline.accept([end(NOW_MS + 40), end(Number.MAX_SAFE_INTEGER)]);
    assert.deepEqual(store.column('ledgers', 'EndedBy'), [BigInt(NOW_MS + 40), 0n]);
  });

  it('finds the one message that the store refuses for good, dead-letters it and stores the rest', async () => {
    const { store, pipeline } = start();
    store.behave = ({ table, block }) => {
      if (table === 'spans' && block.columns.get('SpanName')!.values.includes('poison')) {
        throw storeRefuses();
      }
    };
    const names = ['a', 'b', 'poison', 'c', 'd', 'e', 'f'];
    const results = await Promise.all(names.map((name) => pipeline.accept([traces([name])])));
    assert.deepEqual(
      results.map(({ spans }) => spans),
      [1, 1, 0, 1, 1, 1, 1],
    );
    assert.equal(results[2]!.rejected[0]!.reason, 'store_refused');
    assert.deepEqual(store.column('spans', 'SpanName').toSorted(), ['a', 'b', 'c', 'd', 'e', 'f']);
    assert.deepEqual(store.column('dead_letters', 'Items'), [1]);
  });

  it('throws nothing away when the store refuses every insert, such as without its tables', async () => {
    const { store, pipeline } = start();
    store.behave = ({ table }) => {
      if (table === 'spans') throw storeRefuses();
    };
    await assert.rejects(pipeline.accept([traces(['a'])]), isRetryable);
    assert.equal(store.rows('dead_letters'), 0);
  });

  it('inserts what it holds before it stops, and takes nothing afterwards', async () => {
    const { store, pipeline } = start({ batchIntervalMs: 3_600_000 });
    const accepted = pipeline.accept([traces(['a'])]);
    await pipeline.stop();
    assert.equal((await accepted).spans, 1);
    assert.equal(store.rows('spans'), 1);
    await assert.rejects(pipeline.accept([traces(['b'])]), isRetryable);
  });

  it('rejects what it holds when the store is away while it stops', async () => {
    const { store, pipeline } = start({ batchIntervalMs: 3_600_000, retryForMs: 3_600_000 });
    store.behave = () => {
      throw storeAway();
    };
    const accepted = pipeline.accept([traces(['a'])]);
    await Promise.all([assert.rejects(accepted, isRetryable), pipeline.stop()]);
  });

  it('closes a block once a dictionary is large, so that it stays small', async () => {
    const { store, pipeline } = start({ rowsMax: 1_000_000, bytesInFlightMax: 1e9 });
    const names = (count: number): string[] => Array.from({ length: count }, (_, i) => `n${i}`);
    const counts = [40_000, 65_536, 10];
    const results = await Promise.all(counts.map((n) => pipeline.accept([traces(names(n))])));
    assert.deepEqual(
      results.map(({ spans }) => spans),
      counts,
    );
    assert.deepEqual(
      store.stored.map(({ block }) => block.rows),
      [105_536, 10],
    );
  });
});
