/**
 * Messages that wait for a send, oldest first. What was never tried is handed out merged: OTLP
 * messages written one behind the other are one OTLP message (their only field is repeated), so a
 * next that is slow gets few large messages instead of many small ones.
 *
 * What was tried stays as it is: parts of it may have been acknowledged (Kafka), and the exporter
 * knows them by the message.
 */
import type { OutboundMessage } from './exporter.ts';

/**
 * Twice a full message of the recorder: below every limit on the way, and copying it costs a turn
 * of the event loop some 0.1 ms.
 */
export const MERGED_BYTES_MAX = 524_288;

export interface Batch {
  readonly message: OutboundMessage;
  /** Monotonic milliseconds at which its oldest part was offered. */
  readonly offeredAtMs: number;
  tried: boolean;
}

export class Waiting {
  readonly #mergedBytesMax: number;
  /** The first `#from` were handed out already: shifting a long array for each would be dear. */
  #batches: Batch[] = [];
  #from = 0;

  constructor(mergedBytesMax = MERGED_BYTES_MAX) {
    this.#mergedBytesMax = mergedBytesMax;
  }

  get length(): number {
    return this.#batches.length - this.#from;
  }

  /** The oldest, left where it is. */
  get first(): Batch | undefined {
    return this.#batches[this.#from];
  }

  push(batch: Batch): void {
    this.#batches.push(batch);
  }

  /** Puts back what was handed out: it is the oldest. */
  unshift(batch: Batch): void {
    if (this.#from > 0) this.#batches[--this.#from] = batch;
    else this.#batches.unshift(batch);
  }

  /** The oldest alone, taken out. */
  shift(): Batch | undefined {
    const batch = this.#batches[this.#from];
    if (batch !== undefined) this.#advance(1);
    return batch;
  }

  /** The oldest, with those behind it as far as they may be merged, taken out. */
  next(): Batch | undefined {
    const { first } = this;
    if (first === undefined) return undefined;
    let count = 1;
    let bytes = first.message.body.byteLength;
    let { items } = first.message;
    for (; !first.tried && count < this.length; count++) {
      const { message, tried } = this.#batches[this.#from + count]!;
      const wouldBe = bytes + message.body.byteLength;
      if (tried || message.signal !== first.message.signal || wouldBe > this.#mergedBytesMax) break;
      bytes = wouldBe;
      items += message.items;
    }
    const merged = this.#batches.slice(this.#from, this.#from + count);
    this.#advance(count);
    if (count === 1) return first;
    const body = Buffer.concat(merged.map(({ message }) => message.body));
    const { signal } = first.message;
    return { message: { signal, body, items }, offeredAtMs: first.offeredAtMs, tried: false };
  }

  takeAll(): Batch[] {
    const all = this.#batches.slice(this.#from);
    this.#batches = [];
    this.#from = 0;
    return all;
  }

  #advance(count: number): void {
    this.#from += count;
    if (this.#from < 64 && this.#from < this.#batches.length) return;
    this.#batches.splice(0, this.#from);
    this.#from = 0;
  }
}
