/**
 * Takes in the bodies of an OTLP receiver, HTTP or gRPC: no body, no sum of bodies that are on their
 * way, and nothing that a body inflates to may be larger than its bound. What is refused is not read
 * on; the caller still answers, so nothing here closes a connection.
 *
 *     bytes ─► bodyBytesMax 413, receivingBytesMax 429, in time 408, cut off 400
 *     inflate ─► bytesMax 413, malformed 400
 */
import type { Readable } from 'node:stream';
import { inflate } from './inflate.ts';
import { Refusal, type BodyLimits } from './otlp-request.ts';

const MIB = 1024 * 1024;

export class BodyIntake {
  readonly bodyBytesMax: number;
  readonly inflatedBytesMax: number;
  /** What a body is called in a refusal. */
  readonly #what: 'body' | 'message';
  readonly #receivingBytesMax: number;
  #receivingBytes = 0;

  constructor(what: 'body' | 'message', limits: BodyLimits) {
    this.#what = what;
    this.bodyBytesMax = limits.bodyBytesMax ?? 16 * MIB;
    this.inflatedBytesMax = limits.inflatedBytesMax ?? 64 * MIB;
    this.#receivingBytesMax = limits.receivingBytesMax ?? 64 * MIB;
  }

  /**
   * All of a body, which may have `framingBytes` around it. `timeoutMs`: for a protocol whose server
   * does not watch the time itself. @throws Refusal; then `from` flows no more and is left open.
   */
  async receive(
    from: Readable,
    { framingBytes = 0, timeoutMs }: { framingBytes?: number; timeoutMs?: number } = {},
  ): Promise<Buffer> {
    const chunks: Buffer[] = [];
    let bytes = 0;
    let late: NodeJS.Timeout | undefined;
    try {
      // for await would destroy the stream on a refusal, and the sender would never see the answer.
      await new Promise<void>((resolve, reject) => {
        if (timeoutMs !== undefined) {
          late = setTimeout(() => {
            reject(new Refusal(408, `the ${this.#what} did not arrive in time`));
          }, timeoutMs);
        }
        from.on('data', (chunk: Buffer) => {
          bytes += chunk.length;
          this.#receivingBytes += chunk.length;
          if (bytes > this.bodyBytesMax + framingBytes) reject(this.tooLarge());
          else if (this.#receivingBytes > this.#receivingBytesMax) reject(tooManyBodies());
          else {
            chunks.push(chunk);
            return;
          }
          from.removeAllListeners('data');
        });
        from.on('end', () => resolve());
        from.on('close', () => reject(new Refusal(400, `the ${this.#what} is cut off`)));
      });
      return Buffer.concat(chunks, bytes);
    } finally {
      clearTimeout(late);
      this.#receivingBytes -= bytes;
    }
  }

  /** A body of a known encoding as it was before. @throws Refusal. */
  async inflated(
    body: Buffer,
    encoding: string,
    bytesMax: number = this.inflatedBytesMax,
  ): Promise<Buffer> {
    const result = await inflate(body, encoding, bytesMax);
    if (result.kind === 'body') return result.body;
    if (result.kind === 'malformed') {
      throw new Refusal(400, `the ${this.#what} is not valid ${encoding}: ${result.detail}`);
    }
    throw new Refusal(413, `the ${this.#what} inflates to more than ${bytesMax} bytes`);
  }

  tooLarge(): Refusal {
    return new Refusal(413, `the ${this.#what} has more than ${this.bodyBytesMax} bytes`);
  }
}

const tooManyBodies = (): Refusal => new Refusal(429, 'too many bodies are being received');
