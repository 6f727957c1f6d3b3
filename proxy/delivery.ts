/**
 * The answer on its way to the client, whoever made it: counts its bytes, holds the upstream back
 * where the client does not take them, and says when it has taken all. The counterpart of carrier.ts;
 * one per exchange, made ready for each request by `reset`.
 */
import { monotonicMs } from '../runtime/clock.ts';
import { T } from '../telemetry/hop-record.ts';
import type { Carrier } from './carrier.ts';
import { waitingBytes, writeText, writtenBytes } from './codec/output.ts';
import type { Downstream } from './downstream-port.ts';
import type { HopMeter } from './hop-meter.ts';
import type { Waits } from './waits.ts';

const NOTHING = Buffer.alloc(0);

export class Delivery {
  readonly #down: Downstream;
  readonly #meter: HopMeter;
  readonly #waits: Waits;
  readonly #carrier: Carrier;
  readonly #onTaken: (nowMs: number) => void;
  /** The client does not take more, so no more is read from the upstream. */
  #blocked = false;
  /** All of the answer was written; the client is still to take some of it. */
  flushing = false;

  /** `onTaken`: the client has all of the answer. */
  constructor(
    down: Downstream,
    meter: HopMeter,
    waits: Waits,
    carrier: Carrier,
    onTaken: (nowMs: number) => void,
  ) {
    this.#down = down;
    this.#meter = meter;
    this.#waits = waits;
    this.#carrier = carrier;
    this.#onTaken = onTaken;
  }

  /** Makes ready for the answer to another request. */
  reset(): void {
    this.#blocked = false;
    this.flushing = false;
  }

  /** `bytes` of an answer were written; `taken` is false when the socket wants a pause. */
  sent(bytes: number, taken: boolean): void {
    this.#meter.record.bytesOut += bytes;
    if (waitingBytes(this.#down.socket) > 0) this.#down.answerWaits();
    if (taken || this.#blocked) return;
    this.#blocked = true;
    this.#carrier.pauseAnswer();
    this.#waits.taken(monotonicMs());
  }

  /** The client takes bytes again. */
  drained(): void {
    if (!this.#blocked || this.flushing) return;
    this.#blocked = false;
    const nowMs = monotonicMs();
    this.#meter.waitEnd(nowMs);
    this.#carrier.goOn(nowMs);
  }

  /** All of the upstream's answer was written. `reusable`: its connection ended exactly with it. */
  complete(reusable: boolean): void {
    // A paused connection may hold bytes that nobody has seen.
    this.#carrier.complete(reusable && !this.#blocked);
    this.#flush();
  }

  /** Writes an answer of our own, the whole message. */
  own(text: string, nowMs: number): void {
    writeText(this.#down.socket, text);
    if (waitingBytes(this.#down.socket) > 0) this.#down.answerWaits();
    this.#meter.record.timesMs[T.downstreamFirst] = nowMs;
    this.#meter.record.bytesOut += writtenBytes;
    this.#flush();
  }

  /** Waits until the client took the answer, then says so. */
  #flush(): void {
    const nowMs = monotonicMs();
    if (waitingBytes(this.#down.socket) === 0) {
      this.#onTaken(nowMs);
      return;
    }
    // Bytes in hand that the client does not take: nobody's latency but the client's.
    this.flushing = true;
    this.#waits.taken(nowMs);
    const { seq } = this.#meter.record;
    this.#down.socket.write(NOTHING, (error) => {
      // After an error 'close' follows. `seq` changes with each record: it tells a late callback
      // of a finished hop apart.
      if (error || !this.flushing || this.#meter.record.seq !== seq) return;
      this.#onTaken(monotonicMs());
    });
  }
}
