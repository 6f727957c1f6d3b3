/**
 * The bounded queue between a proxy and its exporter. The request path calls `offer`, which never
 * waits and never throws; everything that cannot be sent is dropped and counted by reason, so that
 * at any moment
 *
 *     offered = emitted + dropped (by reason) + queued (waiting or in flight)      [in items]
 *
 *     offer ─► [oldest … newest] ─► up to `concurrency` in flight ─► acknowledged: emitted
 *                  ▲    │ full: the oldest goes, `queue_full`  │
 *                  └────┼──────── failed, can be retried ──────┤
 *                       ▼                                      └─ refused for good: `refused`
 *
 * Retry is endless, with exponential back-off and jitter, because the queue's bounds already say
 * how much may be kept. While the next fails, one message at a time probes it. After a failure whose
 * outcome is unknown a message may be both stored and, much later, dropped: at-least-once.
 *
 * Ledgers take a slot of their own (`offerLatest`): the newest says all, so it replaces the one
 * before it, and it is never counted as a span.
 */
import { AzimuthError, messageOf } from '../runtime/errors.ts';
import type { Log } from '../runtime/log.ts';
import type { DropReason } from '../telemetry/ledger.ts';
import type { Exporter, OutboundMessage } from './exporter.ts';

/** First pause after a failure. Short: most failures are one lost connection. */
const RETRY_BASE_MS = 100;
/** Longest pause: a collector that comes back is found within this time. */
const RETRY_MAX_MS = 5_000;
/** Longest wish of the other side that is obeyed; a larger one would only fill the queue. */
const RETRY_AFTER_MAX_MS = 60_000;
/** How often a lasting failure is logged. */
const LOG_INTERVAL_MS = 10_000;

/** The timers the queue needs; tests bring their own. */
interface QueueTimers {
  readonly nowMs: () => number;
  /** Calls `run` once after `delayMs`; the returned function cancels. */
  readonly after: (delayMs: number, run: () => void) => () => void;
  /** 0 <= x < 1. */
  readonly random: () => number;
}

export interface ExportQueueSettings {
  readonly exporter: Exporter;
  /** Most items (spans) kept, waiting and in flight. */
  readonly itemsMax: number;
  /** Most bytes kept, waiting and in flight. */
  readonly bytesMax: number;
  readonly retryBaseMs?: number;
  readonly retryMaxMs?: number;
  readonly log: Log;
  readonly timers?: QueueTimers;
}

export interface ExportQueue {
  /** Takes the message, or drops and counts. Never waits, never throws. */
  offer(message: OutboundMessage): void;
  /** Takes the newest ledger; replaces one that was not sent yet. */
  offerLatest(message: OutboundMessage): void;
  /** Items acknowledged by the next. */
  readonly emitted: number;
  /** Items given up, by reason. */
  readonly dropped: Readonly<Record<DropReason, number>>;
  /** Items waiting or in flight. */
  readonly queuedItems: number;
  /** Bytes waiting or in flight. */
  readonly queuedBytes: number;
  /**
   * Waits until everything was acknowledged, at most `deadlineMs`; drops the rest with reason
   * `shutdown`. From its first call on, `offer` drops too; `offerLatest` and another `drain` work.
   */
  drain(deadlineMs: number): Promise<void>;
  /** Stops the timers. Call after `drain`. */
  close(): void;
}

const realTimers: QueueTimers = {
  nowMs: () => performance.now(),
  after: (delayMs, run) => {
    const timer = setTimeout(run, delayMs);
    return () => clearTimeout(timer);
  },
  random: Math.random,
};

/** An empty queue in front of a started exporter. */
export function createExportQueue(settings: ExportQueueSettings): ExportQueue {
  return new Queue(settings);
}

class Queue implements ExportQueue {
  readonly #exporter: Exporter;
  readonly #settings: ExportQueueSettings;
  readonly #timers: QueueTimers;
  readonly #retryBaseMs: number;
  readonly #retryMaxMs: number;

  #waiting: OutboundMessage[] = [];
  readonly #inFlight = new Set<OutboundMessage>();
  #latest: OutboundMessage | undefined;
  #latestInFlight = false;

  emitted = 0;
  readonly dropped: Record<DropReason, number> = {
    queue_full: 0,
    too_large: 0,
    refused: 0,
    deadline: 0,
    shutdown: 0,
    encode_failed: 0,
  };
  queuedItems = 0;
  queuedBytes = 0;

  /** Failures since the last success; above 0 only one message at a time is tried. */
  #failures = 0;
  #cancelPause: (() => void) | undefined;
  #loggedAtMs = -Infinity;
  #draining = false;
  #onIdle: (() => void) | undefined;

  constructor(settings: ExportQueueSettings) {
    this.#exporter = settings.exporter;
    this.#settings = settings;
    this.#timers = settings.timers ?? realTimers;
    this.#retryBaseMs = settings.retryBaseMs ?? RETRY_BASE_MS;
    this.#retryMaxMs = settings.retryMaxMs ?? RETRY_MAX_MS;
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
      this.#forget(oldest);
      this.dropped.queue_full += oldest.items;
    }
    this.#waiting.push(message);
    this.queuedItems += message.items;
    this.queuedBytes += bytes;
    this.#pump();
  }

  offerLatest(message: OutboundMessage): void {
    this.#latest = message;
    this.#pump();
  }

  async drain(deadlineMs: number): Promise<void> {
    this.#draining = true;
    // A pause from earlier failures must not eat the time that is left.
    this.#cancelPause?.();
    this.#cancelPause = undefined;
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
    for (const message of [...this.#waiting, ...this.#inFlight]) {
      this.#forget(message);
      this.dropped.shutdown += message.items;
    }
    this.#waiting = [];
    // Answers that still come find their message gone and change nothing.
    this.#inFlight.clear();
    this.#latest = undefined;
  }

  close(): void {
    this.#cancelPause?.();
    this.#cancelPause = undefined;
    this.#draining = true;
  }

  #busy(): boolean {
    return (
      this.#waiting.length > 0 ||
      this.#inFlight.size > 0 ||
      this.#latest !== undefined ||
      this.#latestInFlight
    );
  }

  #forget(message: OutboundMessage): void {
    this.queuedItems -= message.items;
    this.queuedBytes -= message.body.byteLength;
  }

  #pump(): void {
    if (this.#cancelPause !== undefined) return;
    const most = this.#failures > 0 ? 1 : this.#exporter.concurrency;
    while (this.#inFlight.size + (this.#latestInFlight ? 1 : 0) < most) {
      // The ledger first: small, and what tells the other side how much it still lacks.
      const ledger = this.#latestInFlight ? undefined : this.#latest;
      if (ledger !== undefined) {
        this.#latest = undefined;
        this.#latestInFlight = true;
        this.#send(ledger, true);
        continue;
      }
      const message = this.#waiting.shift();
      if (message === undefined) break;
      this.#inFlight.add(message);
      this.#send(message, false);
    }
    if (this.#onIdle !== undefined && !this.#busy()) this.#onIdle();
  }

  #send(message: OutboundMessage, isLatest: boolean): void {
    let sending: Promise<void>;
    try {
      sending = this.#exporter.send(message);
    } catch (error) {
      sending = Promise.reject(error instanceof Error ? error : new Error(messageOf(error)));
    }
    sending.then(
      () => {
        this.#failures = 0;
        // It answers again: no reason to wait for the end of a pause.
        this.#cancelPause?.();
        this.#cancelPause = undefined;
        if (isLatest) this.#latestInFlight = false;
        else if (this.#inFlight.delete(message)) {
          this.#forget(message);
          this.emitted += message.items;
        }
        this.#pump();
      },
      (error: unknown) => {
        this.#failed(message, isLatest, error);
        this.#pump();
      },
    );
  }

  #failed(message: OutboundMessage, isLatest: boolean, error: unknown): void {
    // What is not an AzimuthError is a fault of the exporter: trying again for ever cannot help.
    const known = error instanceof AzimuthError ? error : undefined;
    const retryable = known?.retryable ?? false;
    this.#complain(retryable, error);
    if (isLatest) {
      this.#latestInFlight = false;
      if (retryable) this.#latest ??= message;
    } else if (this.#inFlight.delete(message)) {
      if (retryable) this.#waiting.unshift(message);
      else {
        this.#forget(message);
        // An exporter may have delivered all but some of its items.
        const refused = Math.min(known?.refusedItems ?? message.items, message.items);
        this.dropped[known?.code === 'AZ_EXPORT_TOO_LARGE' ? 'too_large' : 'refused'] += refused;
        this.emitted += message.items - refused;
      }
    }
    if (retryable) this.#pause(known?.retryAfterS);
  }

  #pause(retryAfterS: number | undefined): void {
    this.#failures++;
    if (this.#cancelPause !== undefined) return;
    const exponent = Math.min(this.#failures - 1, 16);
    const backoffMs = Math.min(this.#retryMaxMs, this.#retryBaseMs * 2 ** exponent);
    // Half fixed, half random: proxies that lost the same collector do not come back in step.
    const jitteredMs = backoffMs * (0.5 + this.#timers.random() / 2);
    const askedMs = Math.min(RETRY_AFTER_MAX_MS, (retryAfterS ?? 0) * 1000);
    this.#cancelPause = this.#timers.after(Math.max(jitteredMs, askedMs), () => {
      this.#cancelPause = undefined;
      this.#pump();
    });
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
        dropped: Object.values(this.dropped).reduce((a, b) => a + b, 0),
      },
    );
  }
}
