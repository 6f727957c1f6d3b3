/**
 * Reads LZ4 frames (https://github.com/lz4/lz4/blob/dev/doc/lz4_Frame_format.md), as Kafka clients
 * write them into record batches. Reading only: we send zstd. There is no kept LZ4 package for
 * npm, and a decoder of the two layers is short.
 *
 *   frame  = magic, descriptor, block*, end mark (4 zero bytes), [content checksum]
 *   block  = size (bit 31: stored as it is), bytes, [block checksum]
 *   inside = token (literals << 4 | match), literals, offset, ... the last one has no match
 *
 * Checksums are not verified: Kafka's own CRC32C covers the batch. Every length is checked, so that
 * damaged or hostile bytes end in an error and never in a write outside the output.
 */
const MAGIC = 0x184d2204;
const MATCH_LENGTH_MIN = 4;

/**
 * Inflates all frames in `input`.
 * @throws Error when the bytes are no LZ4 frame, are cut short, or inflate beyond `bytesMax`.
 */
export function readLz4Frames(input: Uint8Array, bytesMax: number): Buffer {
  const view = new DataView(input.buffer, input.byteOffset, input.byteLength);
  const out = new Output(bytesMax);
  let at = 0;
  const need = (bytes: number): void => {
    if (at + bytes > input.length) throw new Error('lz4: cut short');
  };
  while (at < input.length) {
    need(7);
    if (view.getUint32(at, true) !== MAGIC) throw new Error('lz4: no frame starts here');
    const flags = input[at + 4]!;
    if (flags >> 6 !== 1) throw new Error('lz4: unknown frame version');
    if ((flags & 0x01) !== 0) throw new Error('lz4: dictionaries are not supported');
    const independent = (flags & 0x20) !== 0;
    const blockChecksum = (flags & 0x10) !== 0 ? 4 : 0;
    // Magic, flags, block descriptor, [content size], header checksum.
    at += 4 + 2 + ((flags & 0x08) !== 0 ? 8 : 0) + 1;
    const frameStart = out.length;
    for (;;) {
      need(4);
      const sizeField = view.getUint32(at, true);
      at += 4;
      if (sizeField === 0) break;
      const bytes = sizeField & 0x7fffffff;
      need(bytes + blockChecksum);
      const block = input.subarray(at, at + bytes);
      if (sizeField >>> 31 === 1) out.literals(block, 0, bytes);
      else readBlock(block, out, independent ? out.length : frameStart);
      at += bytes + blockChecksum;
    }
    if ((flags & 0x04) !== 0) {
      need(4);
      at += 4;
    }
  }
  return out.take();
}

/** `windowStart`: the first position of the output that a match may refer to. */
function readBlock(block: Uint8Array, out: Output, windowStart: number): void {
  let at = 0;
  const extended = (nibble: number): number => {
    let length = nibble;
    if (nibble !== 15) return length;
    for (;;) {
      const more = block[at++];
      if (more === undefined) throw new Error('lz4: cut short in a length');
      length += more;
      if (more !== 255) return length;
    }
  };
  while (at < block.length) {
    const token = block[at++]!;
    const literals = extended(token >> 4);
    if (at + literals > block.length) throw new Error('lz4: literals beyond the block');
    out.literals(block, at, literals);
    at += literals;
    if (at === block.length) return;
    if (at + 2 > block.length) throw new Error('lz4: cut short in an offset');
    const offset = block[at]! | (block[at + 1]! << 8);
    at += 2;
    const length = extended(token & 0x0f) + MATCH_LENGTH_MIN;
    if (offset === 0 || out.length - offset < windowStart)
      throw new Error('lz4: a match points before the window');
    out.match(offset, length);
  }
}

/** A growing buffer with a ceiling. */
class Output {
  readonly #bytesMax: number;
  #buffer = Buffer.allocUnsafe(64 * 1024);
  length = 0;

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax;
  }

  literals(from: Uint8Array, start: number, bytes: number): void {
    this.#reserve(bytes);
    this.#buffer.set(from.subarray(start, start + bytes), this.length);
    this.length += bytes;
  }

  /** Copies byte by byte where source and target overlap: that is how a run is written. */
  match(offset: number, bytes: number): void {
    this.#reserve(bytes);
    const buffer = this.#buffer;
    const from = this.length - offset;
    if (offset >= bytes) buffer.copyWithin(this.length, from, from + bytes);
    else for (let i = 0; i < bytes; i++) buffer[this.length + i] = buffer[from + i]!;
    this.length += bytes;
  }

  take(): Buffer {
    return this.#buffer.subarray(0, this.length);
  }

  #reserve(bytes: number): void {
    const needed = this.length + bytes;
    if (needed > this.#bytesMax) throw new Error(`lz4: inflates beyond ${this.#bytesMax} bytes`);
    if (needed <= this.#buffer.length) return;
    const larger = Buffer.allocUnsafe(Math.min(this.#bytesMax, needed * 2));
    this.#buffer.copy(larger, 0, 0, this.length);
    this.#buffer = larger;
  }
}
