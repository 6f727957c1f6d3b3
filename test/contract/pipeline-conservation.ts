/**
 * The conservation contract of a pipeline, whatever store is behind it:
 *
 *     sent = stored once + rejected by reason + not acknowledged
 *
 * and what was not acknowledged may be sent again until it is. Faults are put in front of the store:
 * passing ones before and after the insert (the answer is lost), and lasting ones for some messages.
 */
import assert from 'node:assert/strict';
import { createPipeline, type InboundMessage } from '../../collector/pipeline.ts';
import { silentLog } from '../../runtime/log.ts';
import type { StoreClient } from '../../store/client.ts';
import { storeAway, storeRefuses } from '../helpers/fake-store.ts';
import { readNativeBlock } from '../helpers/native-block.ts';
import { tracesOf } from '../helpers/otlp-proto.ts';
import { seededRandom } from '../helpers/prng.ts';

export interface ConservationStore {
  readonly client: StoreClient;
  /** Names of the spans stored, one element a row. */
  spanNames(): Promise<string[]>;
  /** Sum of the items of all dead letters of this reason. */
  deadLettered(reason: string): Promise<number>;
  stop(): Promise<void>;
}

interface Faults {
  /** Chance that an insert fails before, and after it was stored. */
  readonly before: number;
  readonly after: number;
  /** Every n-th message holds a span that the store refuses for good; 0 = none. */
  readonly poisonEvery: number;
  /** Every n-th message is not OTLP; 0 = none. */
  readonly garbageEvery: number;
}

const CASES: Readonly<Record<string, Faults>> = {
  success: { before: 0, after: 0, poisonEvery: 0, garbageEvery: 0 },
  'passing errors': { before: 0.4, after: 0.2, poisonEvery: 0, garbageEvery: 0 },
  'lasting errors': { before: 0, after: 0, poisonEvery: 17, garbageEvery: 13 },
  'both at once': { before: 0.3, after: 0.1, poisonEvery: 19, garbageEvery: 11 },
};
const MESSAGES = 120;
const SPANS_EACH = 3;
const POISON = 'poison';

export function pipelineConservation(create: () => Promise<ConservationStore>): void {
  for (const [title, faults] of Object.entries(CASES)) {
    for (const retryForMs of [0, 10_000]) {
      it(`conserves every span under ${title}${retryForMs > 0 ? ', with retries of its own' : ''}`, async () => {
        const seed = 7;
        const store = await create();
        try {
          await conserve(store, faults, retryForMs, seed);
        } catch (error) {
          if (error instanceof Error) error.message += ` (seed ${seed})`;
          throw error;
        } finally {
          await store.stop();
        }
      });
    }
  }
}

async function conserve(
  store: ConservationStore,
  faults: Faults,
  retryForMs: number,
  seed: number,
): Promise<void> {
  const pipeline = createPipeline({
    store: withFaults(store.client, faults, seededRandom(seed)),
    log: silentLog,
    rowsMax: 30,
    batchIntervalMs: 0,
    bytesInFlightMax: 1e9,
    retentionDays: 7,
    now: Date.now,
    retryForMs,
    retryBaseMs: 1,
  });
  pipeline.start();
  let calls = 0;
  let spans = 0;
  const rejected: Record<string, number> = {};
  /** Sends until it is acknowledged, as an exporter does. */
  const deliver = async (message: InboundMessage): Promise<void> => {
    for (;;) {
      calls++;
      try {
        const accepted = await pipeline.accept([message]);
        spans += accepted.spans;
        for (const { reason, items } of accepted.rejected) {
          rejected[reason] = (rejected[reason] ?? 0) + Math.max(1, items);
        }
        return;
      } catch (error) {
        assert.equal((error as { retryable?: unknown }).retryable, true, String(error));
      }
    }
  };
  const messages = Array.from({ length: MESSAGES }, (_, i) => messageOf(i, faults));
  await Promise.all(messages.map(({ message }) => deliver(message)));
  await pipeline.stop();

  const due = messages.flatMap(({ names, isGood }) => (isGood ? names : []));
  const stored = await store.spanNames();
  assert.deepEqual([...new Set(stored)].toSorted(), due.toSorted(), 'stored once by identity');
  assert.equal(spans, due.length, 'acknowledged = stored');
  const poisoned = messages.filter(({ names }) => names.some((n) => n.startsWith(POISON))).length;
  const garbage = messages.filter(({ names }) => names.length === 0).length;
  assert.equal(rejected['store_refused'] ?? 0, poisoned * SPANS_EACH);
  assert.equal(rejected['malformed'] ?? 0, garbage);
  assert.equal(
    spans + (rejected['store_refused'] ?? 0) + garbage * SPANS_EACH,
    MESSAGES * SPANS_EACH,
    'sent = stored + rejected',
  );
  assert.ok((await store.deadLettered('store_refused')) >= poisoned * SPANS_EACH);
  if (faults.before === 0) {
    assert.equal(calls, MESSAGES, 'nothing is turned away on account of a bad message');
    assert.equal(stored.length, due.length, 'stored once by row');
  } else if (retryForMs === 0) assert.ok(calls > MESSAGES, 'no fault was seen');
  // The pipeline's own retry of a block whose answer was lost carries the same token.
  else if (faults.poisonEvery === 0) assert.equal(stored.length, due.length, 'stored once by row');
}

function messageOf(
  i: number,
  faults: Faults,
): { message: InboundMessage; names: string[]; isGood: boolean } {
  const every = (n: number): boolean => n > 0 && i % n === 1;
  const shell = { signal: 'traces', encoding: 'protobuf' } as const;
  const source = { name: 'otlp_spans', partition: 0, offset: i };
  if (every(faults.garbageEvery)) {
    const body = Buffer.from(`not OTLP ${i}`);
    return { message: { ...shell, body, source }, names: [], isGood: false };
  }
  const isPoison = every(faults.poisonEvery);
  const names = Array.from(
    { length: SPANS_EACH },
    (_, s) => `${isPoison && s === 1 ? POISON : 'span'}-${i}-${s}`,
  );
  const body = tracesOf(names.map((name) => ({ service: 'conservation', name })));
  return { message: { ...shell, body, source }, names, isGood: !isPoison };
}

function withFaults(client: StoreClient, faults: Faults, random: () => number): StoreClient {
  return {
    ...client,
    async insertNative(table, bytes, options) {
      if (random() < faults.before) throw storeAway();
      if (table === 'spans') {
        const names = readNativeBlock(Buffer.from(bytes)).columns.get('SpanName')?.values ?? [];
        if (names.some((name) => String(name).startsWith(POISON))) throw storeRefuses();
      }
      await client.insertNative(table, bytes, options);
      if (random() < faults.after) throw storeAway();
    },
  };
}
