/**
 * The bounded queue between a proxy and its exporter. The request path calls `offer`, which never
 * waits and never throws; everything that cannot be sent is dropped and counted by reason, so that
 * at any moment
 *
 *     offered = emitted + dropped (by reason) + queued (in memory) + spooled (on disk)   [in items]
 *
 *     offer ─► [oldest … newest] ─► merged ─► up to `concurrency` in flight ─► acknowledged: emitted
 *                 │ half full: the oldest to disk      ▲    │ failed, can be retried: in front again
 *                 ▼                                    │    └ refused for good: `refused`
 *               spool ── once the next takes again ────┘
 *
 * Without a spool, and when the disk takes nothing, the oldest is dropped when all is full
 * (`queue_full`). Retry has no count, only an end: a message older than `ageMaxMs` is dropped
 * (`deadline`). While the next fails, one message at a time probes it. After a failure whose outcome
 * is unknown a message may be both stored and, much later, dropped: at-least-once.
 *
 * Ledgers take slots of their own (`offerLatest`): the newest says all, so it replaces the one
 * before it, and it is never counted as a span.
 */
import { messageOf } from '../runtime/errors.ts';
import type { Log } from '../runtime/log.ts';
import type { DropReason } from '../telemetry/ledger.ts';
import { realTimers, type Timers } from '../runtime/timers.ts';
import { Backoff } from './backoff.ts';
import type { Exporter, OutboundMessage } from './exporter.ts';
import { judgeFailure, type SendFailure } from './send-failure.ts';
import { Replays, type QueueSpool } from './spool/replays.ts';
import { Waiting, type Batch } from './waiting.ts';

/** How often a lasting failure is logged. */
const LOG_INTERVAL_MS = 10_000;
/** From this share of either bound on the oldest go to disk: the rest is for what comes meanwhile. */
const SPILL_SHARE = 0.5;
/** A disk that took nothing is asked again after this time. */
const SPILL_PAUSE_MS = 5_000;
/** Time that the disk gets at the end for all that is still in memory. */
const SPILL_AT_END_MS = 3_000;

export interface ExportQueueSettings {
  readonly exporter: Exporter;
  /** Most items (spans) kept in memory, waiting and in flight. */
  readonly itemsMax: number;
  /** Most bytes kept in memory, waiting and in flight. */
  readonly bytesMax: number;
  /** What could not be delivered for so long is dropped. Default: never. */
  readonly ageMaxMs?: number;
  /** Waiting messages are sent together up to so many bytes. Default MERGED_BYTES_MAX. */
  readonly mergedBytesMax?: number;
  /** Where the oldest go before anything is dropped. */
  readonly spool?: QueueSpool | undefined;
  readonly retryBaseMs?: number;
  readonly retryMaxMs?: number;
  readonly log: Log;
  readonly timers?: Timers;
  /** Unix milliseconds: the age of what lay on disk. */
  readonly wallMs?: () => number;
}

export interface ExportQueue {
  /** Takes the message, or drops and counts. Never waits, never throws. */
  offer(message: OutboundMessage): void;
  /**
   * Takes the newest ledger of `slot`; replaces one that was not sent yet. `onDelivered` is called
   * when it was acknowledged, not when it was replaced.
   */
  offerLatest(message: OutboundMessage, slot?: string, onDelivered?: () => void): void;
  /** Looks for work: the spool found some. */
  wake(): void;
  /** Items acknowledged by the next. */
  readonly emitted: number;
  /** Items given up, by reason. */
  readonly dropped: Readonly<Record<DropReason, number>>;
  /** Items in memory, waiting or in flight. */
  readonly queuedItems: number;
  /** Bytes in memory, waiting or in flight. */
  readonly queuedBytes: number;
  /** Items of this process that lie on disk. */
  readonly spooledItems: number;
  /** Bytes on disk, also those of earlier processes. */
  readonly spooledBytes: number;
  /**
   * Waits until everything in memory was acknowledged, at most `deadlineMs`; what is left goes to
   * the spool, and what that does not take is dropped with reason `shutdown`. From its first call
   * on, `offer` drops too; `offerLatest` and another `drain` work.
   */
  drain(deadlineMs: number): Promise<void>;
  /** Stops the timers. Call after `drain`. */
  close(): void;
}

/** An empty queue in front of a started exporter. */
export function createExportQueue(settings: ExportQueueSettings): ExportQueue {
  return new Queue(settings);
}

interface Latest {
  readonly message: OutboundMessage;
  readonly slot: string;
  readonly onDelivered: (() => void) | undefined;
}

class Queue implements ExportQueue {
  readonly #exporter: Exporter;
  readonly #settings: ExportQueueSettings;
  readonly #timers: Timers;
  readonly #backoff: Backoff;
  readonly #ageMaxMs: number;
  readonly #spool: QueueSpool | undefined;

  readonly #waiting: Waiting;
  readonly #inFlight = new Set<Batch>();
  readonly #latest = new Map<string, Latest>();
  #latestInFlight = false;
  #replayedLast = false;
  readonly #replays: Replays | undefined;
  #spilling: Promise<void> | undefined;
  /** The one that is being written to disk. */
  #onItsWay: Batch | undefined;
  #spillAgainAtMs = -Infinity;

  emitted = 0;
  readonly dropped: Record<DropReason, number> = {
    queue_full: 0,
    too_large: 0,
    refused: 0,
    deadline: 0,
    shutdown: 0,
    encode_failed: 0,
    spool_damaged: 0,
  };
  queuedItems = 0;
  queuedBytes = 0;

  #loggedAtMs = -Infinity;
  #draining = false;
  #closed = false;
  #onIdle: (() => void) | undefined;

  constructor(settings: ExportQueueSettings) {
    this.#exporter = settings.exporter;
    this.#settings = settings;
    this.#timers = settings.timers ?? realTimers;
    this.#ageMaxMs = settings.ageMaxMs ?? Infinity;
    this.#waiting = new Waiting(settings.mergedBytesMax);
    this.#backoff = new Backoff({
      baseMs: settings.retryBaseMs,
      maxMs: settings.retryMaxMs,
      timers: this.#timers,
      onOver: () => this.#pump(),
    });
    this.#spool = settings.spool;
    this.#replays =
      settings.spool &&
      new Replays({
        spool: settings.spool,
        ageMaxMs: this.#ageMaxMs,
        wallMs: settings.wallMs ?? Date.now,
        send: (message, sent, failed) => this.#send(message, sent, failed),
        onEmitted: (items) => (this.emitted += items),
        onDropped: (items, reason) => (this.dropped[reason] += items),
        onChange: () => this.#pump(),
      });
  }

  get spooledItems(): number {
    return this.#spool?.items ?? 0;
  }

  get spooledBytes(): number {
    return this.#spool?.bytes ?? 0;
  }

  offer(message: OutboundMessage): void {
    const { itemsMax, bytesMax } = this.#settings;
    const bytes = message.body.byteLength;
    if (this.#draining) {
      this.dropped.shutdown += message.items;
      return;
    }
    if (bytes > bytesMax || message.items > itemsMax) {
      this.dropped.too_large += message.items;
      return;
    }
    while (this.queuedItems + message.items > itemsMax || this.queuedBytes + bytes > bytesMax) {
      const oldest = this.#waiting.shift();
      if (oldest === undefined) {
        // All that is kept is in flight: the new one is the oldest that can still be dropped.
        this.dropped.queue_full += message.items;
        return;
      }
      this.#drop(oldest, 'queue_full');
    }
    this.#waiting.push({ message, offeredAtMs: this.#timers.nowMs(), tried: false });
    this.queuedItems += message.items;
    this.queuedBytes += bytes;
    this.#pump();
    this.#spill();
  }

  offerLatest(message: OutboundMessage, slot = '', onDelivered?: () => void): void {
    this.#latest.set(slot, { message, slot, onDelivered });
    this.#pump();
  }

  wake(): void {
    this.#pump();
  }

  async drain(deadlineMs: number): Promise<void> {
    this.#draining = true;
    // The time is for what has no place on disk yet.
    this.#replays?.stop();
    // A pause from earlier failures must not eat the time that is left.
    this.#backoff.endPause();
    this.#pump();
    if (this.#busy()) {
      await new Promise<void>((resolve) => {
        const cancel = this.#timers.after(deadlineMs, resolve);
        this.#onIdle = () => {
          cancel();
          resolve();
        };
      });
      this.#onIdle = undefined;
    }
    await this.#spoolTheRest();
    this.#latest.clear();
  }

  close(): void {
    this.#backoff.endPause();
    this.#replays?.stop();
    this.#draining = true;
    this.#closed = true;
  }

  /** True while something in memory may still leave by itself. What is on disk is safe there. */
  #busy(): boolean {
    return (
      this.#waiting.length > 0 ||
      this.#inFlight.size > 0 ||
      this.#spilling !== undefined ||
      this.#latest.size > 0 ||
      this.#latestInFlight
    );
  }

  #forget({ message }: Batch): void {
    this.queuedItems -= message.items;
    this.queuedBytes -= message.body.byteLength;
  }

  #drop(batch: Batch, reason: DropReason): void {
    this.#forget(batch);
    this.dropped[reason] += batch.message.items;
  }

  #pump(): void {
    if (this.#closed || this.#backoff.isPausing) return;
    this.#dropOld();
    const most = this.#backoff.failures > 0 ? 1 : this.#exporter.concurrency;
    while (this.#sends() < most && this.#sendNext(most)) {
      // One after the other, until all places are taken or nothing is left.
    }
    if (this.#onIdle !== undefined && !this.#busy()) this.#onIdle();
  }

  #sends(): number {
    const replays = this.#replays?.places ?? 0;
    return this.#inFlight.size + replays + (this.#latestInFlight ? 1 : 0);
  }

  /** Sends one thing; false when there is none. `most`: sends at once, now. */
  #sendNext(most: number): boolean {
    // The ledger first: small, and what tells the other side how much it still lacks.
    const [latest] = this.#latest.values();
    if (latest !== undefined && !this.#latestInFlight) {
      this.#latest.delete(latest.slot);
      this.#sendLatest(latest);
      return true;
    }
    this.#replayedLast = this.#isTurnOfReplays(most) && this.#replays?.begin() === true;
    if (this.#replayedLast) return true;
    const batch = this.#waiting.next();
    if (batch === undefined) return false;
    this.#inFlight.add(batch);
    this.#sendBatch(batch);
    return true;
  }

  /**
   * Half of the places are for what comes from disk, of a single place every second turn: neither
   * it nor what is new stands still.
   */
  #isTurnOfReplays(most: number): boolean {
    if (this.#waiting.length === 0) return true;
    // A probe is what is in memory: it has no other place.
    if (this.#backoff.failures > 0) return false;
    return most === 1 ? !this.#replayedLast : (this.#replays?.places ?? 0) < most / 2;
  }

  #sendBatch(batch: Batch): void {
    batch.tried = true;
    this.#send(
      batch.message,
      () => {
        // One that was given up meanwhile is gone; its late answer changes nothing.
        if (!this.#inFlight.delete(batch)) return;
        this.#forget(batch);
        this.emitted += batch.message.items;
      },
      (failure) => {
        if (!this.#inFlight.delete(batch)) return;
        if (failure.retryable) {
          this.#waiting.unshift(batch);
          return;
        }
        this.#forget(batch);
        this.dropped[failure.reason] += failure.items;
        this.emitted += batch.message.items - failure.items;
      },
    );
  }

  #sendLatest(latest: Latest): void {
    this.#latestInFlight = true;
    this.#send(
      latest.message,
      () => {
        this.#latestInFlight = false;
        latest.onDelivered?.();
      },
      (failure) => {
        this.#latestInFlight = false;
        if (failure.retryable && !this.#latest.has(latest.slot))
          this.#latest.set(latest.slot, latest);
      },
    );
  }

  #send(message: OutboundMessage, sent: () => void, failed: (failure: SendFailure) => void): void {
    let sending: Promise<void>;
    try {
      sending = this.#exporter.send(message);
    } catch (error) {
      sending = Promise.reject(error instanceof Error ? error : new Error(messageOf(error)));
    }
    sending.then(
      () => {
        this.#backoff.succeed();
        sent();
        this.#pump();
      },
      (error: unknown) => {
        const failure = judgeFailure(error, message.items);
        this.#complain(failure.retryable, error);
        failed(failure);
        // A pause after the end would keep the process alive.
        if (failure.retryable && !this.#closed) this.#backoff.fail(failure.retryAfterS);
        this.#pump();
        this.#spill();
      },
    );
  }

  #dropOld(): void {
    const nowMs = this.#timers.nowMs();
    for (;;) {
      const oldest = this.#waiting.first;
      if (oldest === undefined || nowMs - oldest.offeredAtMs <= this.#ageMaxMs) return;
      this.#waiting.shift();
      this.#drop(oldest, 'deadline');
    }
  }

  /** Begins to move the oldest to disk when memory is half full. */
  #spill(): void {
    if (this.#spool === undefined || this.#spilling !== undefined || this.#draining) return;
    if (!this.#isHalfFull() || this.#timers.nowMs() < this.#spillAgainAtMs) return;
    this.#spilling = this.#spillOldest(this.#spool).finally(() => {
      this.#spilling = undefined;
      this.#pump();
    });
  }

  async #spillOldest(spool: QueueSpool): Promise<void> {
    while (this.#isHalfFull() && !this.#draining) {
      const batch = this.#waiting.next();
      if (batch === undefined) return;
      this.#onItsWay = batch;
      const stored = await spool.append(batch.message);
      // At the end of the process it may have been given up meanwhile.
      if (this.#arrived() === undefined) return;
      if (stored) {
        this.#forget(batch);
        continue;
      }
      this.#waiting.unshift(batch);
      this.#spillAgainAtMs = this.#timers.nowMs() + SPILL_PAUSE_MS;
      return;
    }
  }

  /** The one that was on its way to disk, which is not there any more. */
  #arrived(): Batch | undefined {
    const batch = this.#onItsWay;
    this.#onItsWay = undefined;
    return batch;
  }

  #isHalfFull(): boolean {
    const { itemsMax, bytesMax } = this.#settings;
    return this.queuedItems > itemsMax * SPILL_SHARE || this.queuedBytes > bytesMax * SPILL_SHARE;
  }

  /** To disk with all that is in memory, as far as time and disk allow; the rest is dropped. */
  async #spoolTheRest(): Promise<void> {
    const spool = this.#spool;
    let giveUp: () => void = () => undefined;
    const time = { isUp: false };
    const late = new Promise<void>((resolve) => {
      giveUp = this.#timers.after(SPILL_AT_END_MS, () => {
        time.isUp = true;
        resolve();
      });
    });
    await Promise.race([this.#spilling, late]);
    const onItsWay = this.#arrived();
    const rest = [
      ...(onItsWay === undefined ? [] : [onItsWay]),
      ...this.#inFlight,
      ...this.#waiting.takeAll(),
    ];
    // Answers that still come find their message gone and change nothing.
    this.#inFlight.clear();
    for (const batch of rest) {
      const storing = time.isUp || spool === undefined ? false : spool.append(batch.message);
      if ((await Promise.race([storing, late])) === true) this.#forget(batch);
      else this.#drop(batch, 'shutdown');
    }
    giveUp();
  }

  #complain(retryable: boolean, error: unknown): void {
    const now = this.#timers.nowMs();
    if (now - this.#loggedAtMs < LOG_INTERVAL_MS) return;
    this.#loggedAtMs = now;
    this.#settings.log.warn(
      retryable ? 'export failed, will be tried again' : 'export refused, message dropped',
      {
        exporter: this.#exporter.name,
        error: messageOf(error),
        queued: this.queuedItems,
        spooled: this.spooledItems,
        dropped: Object.values(this.dropped).reduce((a, b) => a + b, 0),
      },
    );
  }
}
