/**
 * Sends a message as a whole or in parts, as the next takes it, for every transport alike.
 *
 *   message -> parts of at most the limit -> each sent -> too large? halved, and the lower limit kept
 *
 * A message whose send failed halfway is known again by its object: a retry sends only what is left.
 * A single item that is refused is counted and passed over, the others are sent.
 */
import { AzimuthError, messageOf } from '../runtime/errors.ts';
import type { OutboundMessage, Signal } from './exporter.ts';
import { splitMessage, type Part } from './otlp-split.ts';

/** What is left of a message whose send was rejected. */
interface Progress {
  readonly parts: Part[];
  refusedItems: number;
  refusal: AzimuthError | undefined;
}

export class PartSender {
  readonly #progress = new WeakMap<OutboundMessage, Progress>();
  /** Most bytes of a part before compression; smaller once the other side refused one for its size. */
  readonly #bytesMax: Record<Signal, number>;

  /** `bytesMax`: most bytes of a part at first. */
  constructor(bytesMax: number) {
    this.#bytesMax = { traces: bytesMax, logs: bytesMax };
  }

  /**
   * Calls `sendPart` for one part after the other, and resolves when all are acknowledged. Rejects
   * as soon as a part fails in a way that passes, and at the end, final, when items of the message
   * were refused: `refusedItems` says how many, the others were sent.
   */
  async send(message: OutboundMessage, sendPart: (part: Part) => Promise<void>): Promise<void> {
    const { signal } = message;
    const progress = this.#progress.get(message) ?? {
      parts: this.#split(message, signal),
      refusedItems: 0,
      refusal: undefined,
    };
    this.#progress.set(message, progress);
    for (let part = progress.parts[0]; part !== undefined; part = progress.parts[0]) {
      try {
        await sendPart(part);
      } catch (error) {
        if (!(error instanceof AzimuthError) || error.retryable) throw error;
        if (error.code === 'AZ_EXPORT_TOO_LARGE' && part.items > 1) {
          const half = Math.ceil(part.body.length / 2);
          this.#bytesMax[signal] = Math.min(this.#bytesMax[signal], half);
          progress.parts.splice(0, 1, ...this.#split(part, signal));
          continue;
        }
        progress.refusedItems += part.items;
        progress.refusal = error;
      }
      progress.parts.shift();
    }
    this.#progress.delete(message);
    if (progress.refusal === undefined) return;
    throw new AzimuthError(progress.refusal.code, progress.refusal.message, {
      cause: progress.refusal,
      refusedItems: progress.refusedItems,
    });
  }

  #split({ body, items }: Omit<OutboundMessage, 'signal'>, signal: Signal): Part[] {
    const bytesMax = this.#bytesMax[signal];
    try {
      return splitMessage(body, items, bytesMax);
    } catch (error) {
      throw new AzimuthError(
        'AZ_EXPORT_REFUSED',
        `a message over ${bytesMax} bytes could not be split: ${messageOf(error)}`,
        { cause: error },
      );
    }
  }
}
