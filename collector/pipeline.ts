/**
 * From messages to confirmed rows. Concurrent `accept` calls share a batch; a batch is inserted when
 * it is full or old enough, one at a time, while the next one fills:
 *
 *     accept ─► queue ─► batch ──(full, or batchIntervalMs)──► blocks ─► store ─► accept resolves
 *               bounded in bytes                               one batch in flight
 *
 * `accept` resolves only after the store confirmed every row, ledger and dead letter of the call. It
 * rejects only with a retryable AzimuthError; then the sender still has the messages and sends them
 * again (at least once; a row stored twice is counted once by every reader). Nothing here grows
 * without bound, and no message can wedge it.
 */
import { AzimuthError, messageOf } from '../runtime/errors.ts';
import type { Part } from '../runtime/lifecycle.ts';
import type { Log } from '../runtime/log.ts';
import type { StoreClient } from '../store/client.ts';
import { Batch, type Outcome, type Rejection } from './batch.ts';
import type { InboundMessage } from './message.ts';
import { StoreWriter, type Member } from './store-writer.ts';
import { TimeWindow } from './time-window.ts';

export type { InboundMessage } from './message.ts';

/** What became of the messages of one `accept`. */
export interface Accepted {
  /** Rows stored. */
  spans: number;
  ledgers: number;
  /** What was dead-lettered instead. */
  rejected: { reason: string; detail: string; items: number }[];
}

/** Counters since the start, and what is held now. */
export interface PipelineStats {
  readonly messages: number;
  readonly spans: number;
  readonly ledgers: number;
  /** Log records that are no ledgers: discarded. */
  readonly otherLogs: number;
  /** Dead-lettered spans and ledgers by reason; a message that could not be read counts as one. */
  readonly rejected: Readonly<Record<string, number>>;
  /** `accept` calls that were turned away because too much was in flight. */
  readonly turnedAway: number;
  readonly inserts: number;
  readonly insertFailures: number;
  readonly insertSeconds: number;
  /** Of all successful inserts: by `inserts`, the mean size of a block. */
  readonly rowsInserted: number;
  readonly bytesInserted: number;
  /** Bytes of the messages that wait for the store, batch and queue. */
  readonly bytesInFlight: number;
  /** What the store said last, when the last insert failed. */
  readonly storeError: string | undefined;
}

export interface Pipeline extends Part {
  /** Takes messages in. See the file head for what its promise means. */
  accept(messages: readonly InboundMessage[]): Promise<Accepted>;
  stats(): PipelineStats;
  /** Until then every `accept` is turned away. */
  start(): void;
  /** Inserts what is there, or rejects it; afterwards nothing is accepted any more. */
  stop(): Promise<void>;
}

export interface PipelineSettings {
  readonly store: StoreClient;
  readonly log: Log;
  /** Rows from which on a batch is full. 50,000 rows cost the engine least; 10,000 nearly so. */
  readonly rowsMax: number;
  /** Longest time that a row waits for others to share its insert. */
  readonly batchIntervalMs: number;
  /** Above it `accept` rejects with AZ_COLLECTOR_BUSY. */
  readonly bytesInFlightMax: number;
  readonly retentionDays: number;
  /** Unix milliseconds. */
  readonly now: () => number;
  /**
   * How long an insert is tried again before its senders are told to come again. Default 5,000: the
   * usual OTLP exporter gives up on an answer after 10 s.
   */
  readonly retryForMs?: number;
  /** Pause before the first retry; it doubles up to a second. Default 100. */
  readonly retryBaseMs?: number;
}

const RETRY_FOR_MS = 5_000;
const RETRY_BASE_MS = 100;
/** A batch is also full at so many bytes of messages: it bounds the blocks made of them. */
const BATCH_BYTES_MAX = 16 * 1024 * 1024;
/** What a message costs besides its bytes, so that a flood of empty ones is bounded too. */
const MESSAGE_OVERHEAD_BYTES = 512;
/** A log line about dead letters at most so often. */
const WARN_INTERVAL_MS = 1_000;

interface Acceptance {
  /** Messages whose fate is open. */
  open: number;
  failed: boolean;
  readonly result: Accepted;
  readonly resolve: (accepted: Accepted) => void;
  readonly reject: (error: AzimuthError) => void;
}

/** A message on its way, with what became of it once it was decoded. */
interface Pending extends Member {
  readonly acceptance: Acceptance;
}

const NO_OUTCOME: Outcome = { spans: 0, ledgers: 0, otherLogs: 0, rejected: [] };

export function createPipeline(settings: PipelineSettings): Pipeline {
  return new BatchingPipeline(settings);
}

class BatchingPipeline implements Pipeline {
  readonly name = 'pipeline';
  readonly #settings: PipelineSettings;
  readonly #writer: StoreWriter;
  readonly #batch = new Batch();
  /** Messages in the batch, and those that wait for room in it. */
  #members: Pending[] = [];
  #queue: Pending[] = [];
  #inserting = false;
  #due = false;
  #timer: NodeJS.Timeout | undefined;
  #running = false;
  #idle: (() => void)[] = [];
  #lastWarningMs = 0;

  #messages = 0;
  #spans = 0;
  #ledgers = 0;
  #otherLogs = 0;
  readonly #rejected: Record<string, number> = {};
  #turnedAway = 0;
  #bytesInFlight = 0;

  constructor(settings: PipelineSettings) {
    this.#settings = settings;
    this.#writer = new StoreWriter({
      store: settings.store,
      log: settings.log,
      now: settings.now,
      retryForMs: settings.retryForMs ?? RETRY_FOR_MS,
      retryBaseMs: settings.retryBaseMs ?? RETRY_BASE_MS,
      retentionDays: settings.retentionDays,
    });
  }

  start(): void {
    this.#running = true;
  }

  accept(messages: readonly InboundMessage[]): Promise<Accepted> {
    const refusal = this.#refusal(messages);
    if (refusal !== undefined) {
      this.#turnedAway++;
      return Promise.reject(refusal);
    }
    if (messages.length === 0) return Promise.resolve({ spans: 0, ledgers: 0, rejected: [] });
    const { promise, resolve, reject } = Promise.withResolvers<Accepted>();
    const acceptance: Acceptance = {
      open: messages.length,
      failed: false,
      result: { spans: 0, ledgers: 0, rejected: [] },
      resolve,
      reject,
    };
    for (const message of messages) {
      this.#bytesInFlight += heldBytes(message);
      this.#queue.push({ message, acceptance, outcome: NO_OUTCOME });
    }
    this.#fill();
    return promise;
  }

  #refusal(messages: readonly InboundMessage[]): AzimuthError | undefined {
    if (!this.#running) {
      return new AzimuthError('AZ_COLLECTOR_BUSY', 'the collector is starting or stopping', {
        retryAfterS: 2,
      });
    }
    let bytes = 0;
    for (const message of messages) bytes += heldBytes(message);
    const { bytesInFlightMax } = this.#settings;
    // One that is larger than the bound itself still gets in when it is alone.
    if (this.#bytesInFlight === 0 || this.#bytesInFlight + bytes <= bytesInFlightMax) {
      return undefined;
    }
    return new AzimuthError(
      'AZ_COLLECTOR_BUSY',
      `the collector holds ${this.#bytesInFlight} bytes that the store has not confirmed yet`,
      { retryAfterS: 1 },
    );
  }

  stats(): PipelineStats {
    const { inserts, failures, insertSeconds, rows, bytes, lastError } = this.#writer;
    return {
      messages: this.#messages,
      spans: this.#spans,
      ledgers: this.#ledgers,
      otherLogs: this.#otherLogs,
      rejected: { ...this.#rejected },
      turnedAway: this.#turnedAway,
      inserts,
      insertFailures: failures,
      insertSeconds,
      rowsInserted: rows,
      bytesInserted: bytes,
      bytesInFlight: this.#bytesInFlight,
      storeError: lastError,
    };
  }

  async stop(): Promise<void> {
    this.#running = false;
    this.#due = true;
    this.#writer.hurry();
    this.#flush();
    while (this.#inserting || this.#members.length > 0 || this.#queue.length > 0) {
      await new Promise<void>((resolve) => this.#idle.push(resolve));
    }
    clearTimeout(this.#timer);
  }

  /** Moves messages from the queue into the batch, as far as there is room, and sends it if it is time. */
  #fill(): void {
    const { now, retentionDays, batchIntervalMs } = this.#settings;
    const window = new TimeWindow(now(), retentionDays);
    let taken = 0;
    while (taken < this.#queue.length && !this.#isFull()) {
      const pending = this.#queue[taken++]!;
      if (pending.acceptance.failed) {
        this.#bytesInFlight -= heldBytes(pending.message);
        continue;
      }
      pending.outcome = this.#batch.add(pending.message, window);
      this.#members.push(pending);
      this.#warnOf(pending);
    }
    this.#queue.splice(0, taken);
    if (this.#members.length === 0) return;
    if (this.#due || !this.#running || this.#isFull()) this.#flush();
    else {
      this.#timer ??= setTimeout(() => {
        this.#timer = undefined;
        this.#due = true;
        this.#flush();
      }, batchIntervalMs);
    }
  }

  #isFull(): boolean {
    const batch = this.#batch;
    return (
      batch.rows >= this.#settings.rowsMax ||
      batch.bytes >= BATCH_BYTES_MAX ||
      batch.hasFullDictionary
    );
  }

  #flush(): void {
    if (this.#inserting || this.#members.length === 0) return;
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#due = false;
    this.#inserting = true;
    const members = this.#members;
    this.#members = [];
    const blocks = this.#batch.seal();
    // The next batch fills while this one is on its way.
    const open = new Set(members);
    const failuresBefore = this.#writer.failures;
    void this.#writer
      .write(blocks, members, (stored) => {
        for (const pending of stored) {
          open.delete(pending);
          this.#confirm(pending);
        }
      })
      .then(() => {
        // A request that failed may still be on its way out with these bytes.
        if (this.#writer.failures === failuresBefore) this.#batch.reuse(blocks);
      })
      .catch((error: unknown) => {
        for (const pending of open) this.#fail(pending, error);
        this.#failWaiting(error);
      })
      .finally(() => {
        this.#inserting = false;
        this.#fill();
        const waiting = this.#idle;
        this.#idle = [];
        for (const wake of waiting) wake();
      });
    if (this.#queue.length > 0) this.#fill();
  }

  #confirm({ message, acceptance, outcome }: Pending): void {
    this.#bytesInFlight -= heldBytes(message);
    this.#messages++;
    this.#spans += outcome.spans;
    this.#ledgers += outcome.ledgers;
    this.#otherLogs += outcome.otherLogs;
    for (const { reason, items } of outcome.rejected) {
      this.#rejected[reason] = (this.#rejected[reason] ?? 0) + Math.max(items, 1);
    }
    acceptance.result.spans += outcome.spans;
    acceptance.result.ledgers += outcome.ledgers;
    acceptance.result.rejected.push(...outcome.rejected);
    if (--acceptance.open === 0 && !acceptance.failed) acceptance.resolve(acceptance.result);
  }

  /**
   * The store did not take a batch within its time, so those behind it are told at once to come
   * again: each would wait as long once more, and its sender would give up without an answer.
   */
  #failWaiting(error: unknown): void {
    const waiting = [...this.#members, ...this.#queue];
    this.#members = [];
    this.#queue = [];
    this.#batch.clear();
    for (const pending of waiting) this.#fail(pending, error);
  }

  #fail({ message, acceptance }: Pending, error: unknown): void {
    this.#bytesInFlight -= heldBytes(message);
    if (acceptance.failed) return;
    acceptance.failed = true;
    acceptance.reject(
      error instanceof AzimuthError && error.retryable
        ? error
        : new AzimuthError('AZ_STORE_UNAVAILABLE', messageOf(error), { cause: error }),
    );
  }

  #warnOf({ message, outcome }: Pending): void {
    const first: Rejection | undefined = outcome.rejected[0];
    if (first === undefined) return;
    const nowMs = this.#settings.now();
    const isBug = first.reason === 'internal';
    if (!isBug && nowMs - this.#lastWarningMs < WARN_INTERVAL_MS) return;
    this.#lastWarningMs = nowMs;
    const { name, partition, offset } = message.source;
    const fields = {
      reason: first.reason,
      detail: first.detail,
      items: first.items,
      source: name,
      partition,
      offset,
    };
    if (isBug) this.#settings.log.error('dead letter on account of a fault of ours', fields);
    else this.#settings.log.warn('dead letter', fields);
  }
}

function heldBytes(message: InboundMessage): number {
  return message.body.length + MESSAGE_OVERHEAD_BYTES;
}
