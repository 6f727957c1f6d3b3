/**
 * Writes protobuf messages where speed does not matter: constants that the span writer encodes once,
 * ledger events, JSON turned into protobuf. One growing buffer; the length of a nested message is
 * put in place when it ends. The hot path (span-writer.ts) never comes here per hop.
 */
import { putVarint, varintLength, WIRE } from './protobuf.ts';

const TWO_64 = 1n << 64n;

export class MessageWriter {
  #bytes = Buffer.allocUnsafe(512);
  #length = 0;
  /** Positions of the length byte of each message that is still open. */
  readonly #open: number[] = [];

  #room(bytes: number): void {
    const wanted = this.#length + bytes;
    if (wanted <= this.#bytes.length) return;
    const wider = Buffer.allocUnsafe(Math.max(wanted, this.#bytes.length * 2));
    this.#bytes.copy(wider, 0, 0, this.#length);
    this.#bytes = wider;
  }

  #tag(field: number, wire: number): void {
    this.#room(5);
    this.#length = putVarint(this.#bytes, this.#length, field * 8 + wire);
  }

  /** Opens a nested message; every `begin` needs its `end`. */
  begin(field: number): this {
    this.#tag(field, WIRE.bytes);
    this.#room(1);
    this.#open.push(this.#length++);
    return this;
  }

  end(): this {
    const at = this.#open.pop();
    if (at === undefined) throw new Error('MessageWriter: end() without begin()');
    const length = this.#length - at - 1;
    const wider = varintLength(length) - 1;
    if (wider > 0) {
      this.#room(wider);
      this.#bytes.copyWithin(at + 1 + wider, at + 1, this.#length);
      this.#length += wider;
    }
    putVarint(this.#bytes, at, length);
    return this;
  }

  /** Writes UTF-8; a lone surrogate becomes U+FFFD, as protobuf texts must be well-formed. */
  string(field: number, text: string): this {
    return this.bytes(field, Buffer.from(text, 'utf8'));
  }

  bytes(field: number, content: Uint8Array): this {
    this.#tag(field, WIRE.bytes);
    this.#room(5 + content.length);
    this.#length = putVarint(this.#bytes, this.#length, content.length);
    this.#bytes.set(content, this.#length);
    this.#length += content.length;
    return this;
  }

  /** An unsigned integer from 0 to 2^53. */
  varint(field: number, value: number): this {
    this.#tag(field, WIRE.varint);
    this.#room(8);
    this.#length = putVarint(this.#bytes, this.#length, value);
    return this;
  }

  /** A signed or unsigned 64-bit integer, as int64 and uint64 do it: negative ones take ten bytes. */
  varint64(field: number, value: bigint): this {
    this.#tag(field, WIRE.varint);
    this.#room(10);
    let rest = value < 0n ? value + TWO_64 : value;
    while (rest > 127n) {
      this.#bytes[this.#length++] = Number(rest & 127n) | 128;
      rest >>= 7n;
    }
    this.#bytes[this.#length++] = Number(rest);
    return this;
  }

  fixed64(field: number, value: bigint): this {
    this.#tag(field, WIRE.fixed64);
    this.#room(8);
    this.#length = this.#bytes.writeBigUInt64LE(BigInt.asUintN(64, value), this.#length);
    return this;
  }

  fixed32(field: number, value: number): this {
    this.#tag(field, WIRE.fixed32);
    this.#room(4);
    this.#length = this.#bytes.writeUInt32LE(value >>> 0, this.#length);
    return this;
  }

  double(field: number, value: number): this {
    this.#tag(field, WIRE.fixed64);
    this.#room(8);
    this.#length = this.#bytes.writeDoubleLE(value, this.#length);
    return this;
  }

  /** A KeyValue as field `field`. A bigint becomes an int, a number a double, bytes stay bytes. */
  attribute(
    field: number,
    key: string,
    value: string | boolean | bigint | number | Uint8Array,
  ): this {
    this.begin(field).string(1, key).begin(2);
    if (typeof value === 'string') this.string(1, value);
    else if (typeof value === 'boolean') this.varint(2, value ? 1 : 0);
    else if (typeof value === 'bigint') this.varint64(3, value);
    else if (typeof value === 'number') this.double(4, value);
    else this.bytes(7, value);
    return this.end().end();
  }

  /** Bytes written so far. */
  get length(): number {
    return this.#length;
  }

  /** Everything written so far, as a copy that the caller owns. All messages must be closed. */
  finish(): Buffer {
    if (this.#open.length > 0) throw new Error('MessageWriter: a message is still open');
    return Buffer.from(this.#bytes.subarray(0, this.#length));
  }
}
