/**
 * An export queue on a bench: sends wait until the test settles them, timers run when the test says
 * so, and after each step everything that was offered is accounted for.
 */
import assert from 'node:assert/strict';
import { AzimuthError } from '../../runtime/errors.ts';
import { silentLog } from '../../runtime/log.ts';
import { createExportQueue, type ExportQueue } from '../../transport/export-queue.ts';
import type { Exporter, OutboundMessage } from '../../transport/exporter.ts';
import type { FakeSpool } from './fake-spool.ts';

interface Pending {
  readonly message: OutboundMessage;
  ok(): void;
  fail(error: Error): void;
}

export class QueueBench implements Exporter {
  readonly name = 'fake';
  readonly concurrency: number;
  readonly pending: Pending[] = [];
  readonly sent: OutboundMessage[] = [];
  mostAtOnce = 0;
  timers: { atMs: number; run: () => void }[] = [];
  delaysMs: number[] = [];
  nowMs = 0;
  readonly queue: ExportQueue;
  readonly spool: FakeSpool | undefined;
  offered = 0;

  constructor(
    settings: {
      concurrency?: number;
      itemsMax?: number;
      bytesMax?: number;
      mergedBytesMax?: number;
      ageMaxMs?: number;
      spool?: FakeSpool;
    } = {},
  ) {
    this.concurrency = settings.concurrency ?? 2;
    this.spool = settings.spool;
    this.queue = createExportQueue({
      exporter: this,
      itemsMax: settings.itemsMax ?? 100,
      bytesMax: settings.bytesMax ?? 1000,
      mergedBytesMax: settings.mergedBytesMax ?? 0,
      ...(settings.ageMaxMs === undefined ? {} : { ageMaxMs: settings.ageMaxMs }),
      spool: settings.spool,
      retryBaseMs: 100,
      retryMaxMs: 800,
      log: silentLog,
      wallMs: () => this.nowMs,
      timers: {
        nowMs: () => this.nowMs,
        random: () => 0,
        after: (delayMs, run) => {
          const timer = { atMs: this.nowMs + delayMs, run };
          this.delaysMs.push(delayMs);
          this.timers.push(timer);
          return () => {
            this.timers = this.timers.filter((t) => t !== timer);
          };
        },
      },
    });
  }

  send(message: OutboundMessage): Promise<void> {
    this.sent.push(message);
    return new Promise((resolve, reject) => {
      const settle = (run: () => void) => (): void => {
        this.pending.splice(this.pending.indexOf(entry), 1);
        run();
      };
      const entry: Pending = {
        message,
        ok: settle(resolve),
        fail: (error) => settle(() => reject(error))(),
      };
      this.pending.push(entry);
      this.mostAtOnce = Math.max(this.mostAtOnce, this.pending.length);
    });
  }

  close(): Promise<void> {
    return Promise.resolve();
  }

  offer(items = 1, bytes = 10): void {
    this.offered += items;
    this.queue.offer({ signal: 'traces', body: new Uint8Array(bytes), items });
    this.assertConserved();
  }

  /** Runs the timers that are due within `ms`. */
  async pass(ms: number): Promise<void> {
    this.nowMs += ms;
    const due = this.timers.filter((t) => t.atMs <= this.nowMs);
    this.timers = this.timers.filter((t) => t.atMs > this.nowMs);
    for (const { run } of due) run();
    await settled();
  }

  async okAll(): Promise<void> {
    while (this.pending.length > 0) {
      this.pending[0]!.ok();
      await settled();
      this.assertConserved();
    }
  }

  assertConserved(): void {
    const { emitted, dropped, queuedItems, queuedBytes, spooledItems } = this.queue;
    const lost = Object.values(dropped).reduce((a, b) => a + b, 0);
    assert.equal(this.offered, emitted + lost + queuedItems + spooledItems);
    assert.ok(queuedBytes >= 0);
  }
}

/** Lets promises settle. */
export const settled = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
export const away = (retryAfterS?: number): AzimuthError =>
  new AzimuthError('AZ_EXPORT_FAILED', 'away', { retryAfterS });
export const refused = (): AzimuthError => new AzimuthError('AZ_EXPORT_REFUSED', 'no');
