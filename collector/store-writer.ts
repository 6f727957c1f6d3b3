/**
 * Inserts the blocks of a batch and knows what to do when the store will not have them.
 *
 *   passing trouble (store away, overloaded) -> the same block with the same token again, for a
 *     bounded time; then the error goes up and the senders keep their messages
 *   refused for good, an empty block too     -> table, user or schema is at fault, not the data:
 *     as passing trouble, for nothing may be thrown away on account of a wrong password
 *   refused for good, an empty block taken   -> the data: the batch is halved until the message is
 *     found, and that one is dead-lettered
 */
import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { AzimuthError, messageOf } from '../runtime/errors.ts';
import type { Log } from '../runtime/log.ts';
import type { StoreClient } from '../store/client.ts';
import { Batch, type Block, type Outcome } from './batch.ts';
import type { InboundMessage } from './message.ts';
import { TimeWindow } from './time-window.ts';

/** A message of a batch with what became of it. */
export interface Member {
  readonly message: InboundMessage;
  outcome: Outcome;
}

export interface StoreWriterSettings {
  readonly store: StoreClient;
  readonly log: Log;
  readonly now: () => number;
  /** How long one batch is tried again. */
  readonly retryForMs: number;
  /** First pause; it doubles up to RETRY_MAX_MS. */
  readonly retryBaseMs: number;
  readonly retentionDays: number;
}

/** Longest pause between two tries. */
const RETRY_MAX_MS = 1_000;

export class StoreWriter {
  readonly #settings: StoreWriterSettings;
  /** Makes tokens unique over restarts: a counter alone would begin again. */
  readonly #instance = randomUUID();
  #batches = 0;
  #hurry = new AbortController();

  inserts = 0;
  failures = 0;
  insertSeconds = 0;
  /** Of successful inserts. */
  rows = 0;
  bytes = 0;
  /** What the store said last; undefined after a success. */
  lastError: string | undefined;

  constructor(settings: StoreWriterSettings) {
    this.#settings = settings;
  }

  /** From now on tries each block once more at most: the process wants to end. */
  hurry(): void {
    this.#hurry.abort();
  }

  /**
   * Stores all blocks, which were made of `members`, and tells of each member once it is stored,
   * with its outcome changed where it had to be dead-lettered. Rejects with a retryable
   * AzimuthError when the store could not take all of it; members that `stored` was not told of may
   * be stored then, or not.
   */
  async write<M extends Member>(
    blocks: readonly Block[],
    members: readonly M[],
    stored: (members: readonly M[]) => void,
  ): Promise<void> {
    const deadlineMs = this.#settings.now() + this.#settings.retryForMs;
    try {
      await this.#insertAll(blocks, deadlineMs);
      stored(members);
    } catch (error) {
      if (!(error instanceof AzimuthError) || error.retryable) throw error;
      await this.#probe(blocks, error);
      await this.#writeHalves(members, error, deadlineMs, stored);
    }
  }

  async #insertAll(blocks: readonly Block[], deadlineMs: number): Promise<void> {
    const batch = ++this.#batches;
    const settled = await Promise.allSettled(
      blocks.map((block) =>
        this.#insert(block, `${this.#instance}-${batch}-${block.table}`, deadlineMs),
      ),
    );
    const errors = settled.flatMap((one): unknown[] =>
      one.status === 'rejected' ? [one.reason] : [],
    );
    if (errors.length === 0) return;
    // A passing error goes first: what is refused today may be looked at when the store is well.
    throw errors.find((e) => e instanceof AzimuthError && e.retryable) ?? errors[0];
  }

  async #insert(block: Block, token: string, deadlineMs: number): Promise<void> {
    const { store, now, log, retryBaseMs } = this.#settings;
    for (let pauseMs = retryBaseMs; ; pauseMs = Math.min(2 * pauseMs, RETRY_MAX_MS)) {
      const startedMs = performance.now();
      try {
        await store.insertNative(block.table, block.bytes, { token });
        this.inserts++;
        this.rows += block.rows;
        this.bytes += block.bytes.length;
        this.insertSeconds += (performance.now() - startedMs) / 1000;
        if (this.lastError !== undefined) log.info('the store takes inserts again');
        this.lastError = undefined;
        return;
      } catch (error) {
        this.failures++;
        if (this.lastError === undefined) {
          log.warn('insert failed', { table: block.table, error: messageOf(error) });
        }
        this.lastError = messageOf(error);
        const mayRetry = error instanceof AzimuthError && error.retryable;
        if (!mayRetry || now() + pauseMs > deadlineMs || this.#hurry.signal.aborted) throw error;
      }
      await sleep(pauseMs, undefined, { signal: this.#hurry.signal }).catch(() => undefined);
    }
  }

  /** Throws a retryable error when the store refuses blocks without any data as well. */
  async #probe(blocks: readonly Block[], refusal: AzimuthError): Promise<void> {
    const columns = new Batch();
    for (const { table } of blocks) {
      try {
        await this.#settings.store.insertNative(table, columns.emptyBlock(table));
      } catch (error) {
        throw new AzimuthError(
          'AZ_STORE_UNAVAILABLE',
          `the store refuses every insert into ${table} (user, schema, migration?): ${messageOf(error)}`,
          { cause: refusal, retryAfterS: 5 },
        );
      }
    }
  }

  /** Inserts the members in halves, each in halves again where it is refused, down to single messages. */
  async #writeHalves<M extends Member>(
    members: readonly M[],
    refusal: AzimuthError,
    deadlineMs: number,
    stored: (members: readonly M[]) => void,
  ): Promise<void> {
    const [only] = members;
    if (members.length === 1 && only !== undefined) {
      await this.#deadLetter(only, refusal, deadlineMs);
      stored(members);
      return;
    }
    const middle = Math.ceil(members.length / 2);
    for (const half of [members.slice(0, middle), members.slice(middle)]) {
      const batch = new Batch();
      const window = this.#window();
      for (const member of half) member.outcome = batch.add(member.message, window);
      try {
        await this.#insertAll(batch.seal(), deadlineMs);
        stored(half);
      } catch (error) {
        if (!(error instanceof AzimuthError) || error.retryable) throw error;
        await this.#writeHalves(half, error, deadlineMs, stored);
      }
    }
  }

  async #deadLetter(member: Member, refusal: AzimuthError, deadlineMs: number): Promise<void> {
    const batch = new Batch();
    const { message, outcome } = member;
    const items = outcome.spans + outcome.ledgers;
    const rejection = { reason: 'store_refused', detail: refusal.message, items } as const;
    const hops = batch.hopsOf(message);
    member.outcome = { spans: 0, ledgers: 0, otherLogs: 0, rejected: [...outcome.rejected] };
    batch.reject(message, rejection, this.#window(), member.outcome, hops);
    this.#settings.log.error('the store refuses a message for good', {
      source: message.source.name,
      partition: message.source.partition,
      offset: message.source.offset,
      error: refusal.message,
    });
    await this.#insertAll(batch.seal(), deadlineMs);
  }

  #window(): TimeWindow {
    return new TimeWindow(this.#settings.now(), this.#settings.retentionDays);
  }
}
