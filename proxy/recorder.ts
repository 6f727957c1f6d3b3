/**
 * Where finished hops go: gives each its sequence number, writes it into the span buffer, hands full
 * or timed-out messages to the export queue, and states every 5 s what became of all of them (the
 * ledger). The request path only calls `record`, which makes no promise, waits for nothing and
 * cannot fail.
 */
import { ANCHOR_INTERVAL_MS, Clock, monotonicMs } from '../runtime/clock.ts';
import type { WorkloadIdentity } from '../mesh/part.ts';
import type { HopRecord, HopShape } from '../telemetry/hop-record.ts';
import { LEDGER_INTERVAL_MS, type Ledger } from '../telemetry/ledger.ts';
import { encodeLedger } from '../telemetry/ledger-log.ts';
import {
  createSpanWriter,
  type EncodedShape,
  type HopFormat,
  type ResourceSettings,
  type SpanWriter,
} from '../telemetry/span-writer.ts';
import type { TunnelRecord } from '../telemetry/tunnel-span.ts';
import type { ExportQueue } from '../transport/export-queue.ts';
import { HopFeed } from './admin/hop-feed.ts';
import { HopMetrics } from './admin/hop-metrics.ts';

/**
 * Largest traces message. Small enough for every broker's and collector's default limit (1 MB) and
 * for a send that does not hold up the event loop; large enough for some 1,000 hops.
 */
const MESSAGE_BYTES_MAX = 262_144;

export interface RecorderSettings {
  /** Resource of the process; name, namespace, version and zone are replaced per workload. */
  readonly resource: ResourceSettings;
  readonly hopFormat: HopFormat;
  readonly flushIntervalMs: number;
  readonly queue: ExportQueue;
  /** Called with the statement after each flush and each ledger: what a killed process leaves. */
  readonly onStatement?: (ledger: Ledger, unixNs: bigint) => void;
  /** Largest event-loop delay since the last call, milliseconds. */
  readonly takeLoopDelayMs: () => number;
  /** Sees each ledger that is sent. */
  readonly onLedger?: (ledger: Ledger) => void;
  readonly clock?: Clock;
  /** Hops are numbered and counted, but neither written nor sent: for measuring what that costs. */
  readonly unrecorded?: boolean;
}

/** An encoded shape that knows whose its hops are and where they are counted. */
export interface RecordedShape extends EncodedShape {
  /** Lane of the local workload. */
  readonly lane: number;
  /** Row of HopMetrics; UNCOUNTED for hops that are no load. */
  readonly row: number;
}

/** Row of hops that `/metrics` does not count. */
const UNCOUNTED = -1;

export class Recorder {
  /** Hops counted for `/metrics`. */
  readonly metrics = new HopMetrics();
  /** Hops shown by `/hops`. */
  readonly feed: HopFeed;
  readonly #settings: RecorderSettings;
  readonly #clock: Clock;
  readonly #writer: SpanWriter;
  readonly #queue: ExportQueue;
  readonly #timers: NodeJS.Timeout[] = [];
  readonly #lanes = new Map<string, number>();
  #statedSeq = 0;
  #seq = 0;
  #attempts = 0;
  /** Requests begun and not yet recorded. */
  inFlight = 0;

  constructor(settings: RecorderSettings) {
    this.#settings = settings;
    this.#clock = settings.clock ?? new Clock();
    this.#queue = settings.queue;
    this.feed = new HopFeed((atMs) => Number(this.#clock.unixNs(atMs)) / 1e6);
    this.#writer = createSpanWriter({
      clock: this.#clock,
      hopFormat: settings.hopFormat,
      bytesMax: MESSAGE_BYTES_MAX,
      onFull: (message) => this.#queue.offer({ signal: 'traces', ...message }),
    });
  }

  /** The lane of one local workload; opened at its first use. */
  #lane(workload: WorkloadIdentity): number {
    const key = JSON.stringify(workload);
    const kept = this.#lanes.get(key);
    if (kept !== undefined) return kept;
    const lane = this.#writer.lane({
      ...this.#settings.resource,
      serviceName: workload.name,
      serviceNamespace: workload.namespace,
      serviceVersion: workload.version,
      zone: workload.zone,
    });
    this.#lanes.set(key, lane);
    return lane;
  }

  /** A shape of hops of this local workload. */
  encode(shape: HopShape, workload: WorkloadIdentity): RecordedShape {
    const encoded = this.#writer.shape(shape);
    const row = shape.mirrored === true ? UNCOUNTED : this.metrics.row(shape);
    return { ...encoded, lane: this.#lane(workload), row };
  }

  /** Takes a finished hop. Reads the record at once and keeps nothing of it. */
  record(shape: RecordedShape, record: HopRecord): void {
    record.seq = ++this.#seq;
    this.#attempts += record.attemptCount;
    if (this.#settings.unrecorded === true) return;
    this.#writer.write(shape.lane, shape, record);
    if (shape.row >= 0) this.metrics.observe(shape.row, record);
    if (this.feed.listening) this.feed.offer(shape.shape, record);
  }

  /** Takes an interval of a tunnel: no hop, so it has no sequence number. Keeps nothing of it. */
  recordTunnel(shape: RecordedShape, record: TunnelRecord): void {
    this.#writer.writeTunnel(shape.lane, shape, record);
  }

  /** Begins to flush and to send ledgers by the clock. States that it began. */
  start(): void {
    this.#state(this.ledger(false), this.#unixNs());
    this.#timers.push(
      setInterval(() => this.flush(), this.#settings.flushIntervalMs),
      setInterval(() => this.sendLedger(false), LEDGER_INTERVAL_MS),
      setInterval(() => this.#clock.anchor(), ANCHOR_INTERVAL_MS),
    );
  }

  stop(): void {
    for (const timer of this.#timers.splice(0)) clearInterval(timer);
  }

  /** Hands what was recorded so far to the queue. */
  flush(): void {
    const message = this.#writer.take();
    if (message !== undefined) this.#queue.offer({ signal: 'traces', ...message });
    if (this.#seq !== this.#statedSeq) this.#state(this.ledger(false), this.#unixNs());
  }

  /** Sends the ledger as it stands now, and returns it; `onDelivered` when it was acknowledged. */
  sendLedger(closing: boolean, onDelivered?: () => void): Ledger {
    const ledger = this.ledger(closing);
    // Only the sent one starts the next window of the largest delay.
    ledger.loopDelayNs = Math.round(this.#settings.takeLoopDelayMs() * 1e6);
    const unixNs = this.#unixNs();
    this.#state(ledger, unixNs);
    const body = encodeLedger(ledger, this.#settings.resource, unixNs);
    this.#queue.offerLatest({ signal: 'logs', body, items: 1 }, undefined, onDelivered);
    this.#settings.onLedger?.(ledger);
    return ledger;
  }

  #unixNs(): bigint {
    return this.#clock.unixNs(monotonicMs());
  }

  #state(ledger: Ledger, unixNs: bigint): void {
    this.#statedSeq = ledger.lastSeq;
    this.#settings.onStatement?.(ledger, unixNs);
  }

  /** The statement as it stands now. */
  ledger(closing: boolean): Ledger {
    const cpu = process.cpuUsage();
    return {
      lastSeq: this.#seq,
      hopsFinished: this.#seq,
      emitted: this.#queue.emitted,
      dropped: {
        ...this.#queue.dropped,
        encode_failed: this.#queue.dropped.encode_failed + this.#writer.encodeFailures,
      },
      spooled: this.#queue.spooledItems,
      attempts: this.#attempts,
      cpuNs: (cpu.user + cpu.system) * 1000,
      rssBytes: process.memoryUsage.rss(),
      loopDelayNs: 0,
      inFlight: this.inFlight,
      closing,
    };
  }
}
