/**
 * Unpacks one LZ4 block (the raw format, without LZ4's frame around it), as ClickHouse's clients send
 * them. Never writes or reads past its bounds, whatever the bytes say.
 *
 *     token: literals (high 4 bits), match length - 4 (low 4 bits); 15 = more bytes follow
 *     literals │ offset back, 2 bytes │ … until literals end the block
 */

/** @throws RangeError when the block is broken or does not hold exactly `size` bytes. */
export function unpackLz4(block: Uint8Array, size: number): Buffer {
  const out = Buffer.allocUnsafe(size);
  let from = 0;
  let to = 0;
  const broken = (): never => {
    throw new RangeError('the LZ4 block is broken');
  };
  const lengthOf = (nibble: number): number => {
    let length = nibble;
    if (nibble < 15) return length;
    for (;;) {
      const more = block[from++] ?? broken();
      length += more;
      if (more < 255) return length;
    }
  };
  while (from < block.length) {
    const token = block[from++]!;
    const literals = lengthOf(token >> 4);
    if (from + literals > block.length || to + literals > size) broken();
    out.set(block.subarray(from, from + literals), to);
    from += literals;
    to += literals;
    if (from === block.length) break;
    if (from + 2 > block.length) broken();
    const offset = block[from]! | (block[from + 1]! << 8);
    from += 2;
    const length = lengthOf(token & 15) + 4;
    if (offset === 0 || offset > to || to + length > size) broken();
    if (offset >= length) {
      out.copyWithin(to, to - offset, to - offset + length);
    } else {
      // The match overlaps what it makes: it repeats.
      for (let i = 0; i < length; i++) out[to + i] = out[to + i - offset]!;
    }
    to += length;
  }
  if (to !== size) broken();
  return out;
}
