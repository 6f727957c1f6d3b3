/**
 * Room for bytes that are on their way: whoever brings some waits until they fit. What bounds the
 * memory of the Kafka receiver, over all of its partitions.
 */
export class ByteRoom {
  readonly #bytesMax: number;
  #bytes = 0;
  #waiting: (() => void)[] = [];

  /** `bytesMax`: above it nobody gets in, but for one who is alone. */
  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax;
  }

  /** True when `bytes` may come in now; something larger than the room may when it is alone. */
  has(bytes: number): boolean {
    return this.#bytes === 0 || this.#bytes + bytes <= this.#bytesMax;
  }

  enter(bytes: number): void {
    this.#bytes += bytes;
  }

  leave(bytes: number): void {
    this.#bytes -= bytes;
    this.wake();
  }

  /** Resolves when something left, or somebody called `wake`: look again then. */
  change(): Promise<void> {
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  wake(): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const look of waiting) look();
  }
}
