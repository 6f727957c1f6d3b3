/**
 * CityHash128 as ClickHouse keeps it (version 1.0.2 of 2011; later ones give other values): the
 * checksum of a block compressed by ClickHouse's own framing. Nothing else may use it: it guards
 * against broken bytes, not against people.
 *
 * All arithmetic is modulo 2^64. V8 turns `BigInt.asUintN(64, …)` over local values into machine
 * instructions; values that leave a function would be boxed, hence no small records on the way.
 */

const K0 = 0xc3a5c85c97cb3127n;
const K1 = 0xb492b66fbe98f273n;
const K2 = 0x9ae16a3b2f90404fn;
const K3 = 0xc949d7c7509e6557n;
const MURMUR = 0x9ddfea08eb382d69n;

const u64 = (value: bigint): bigint => BigInt.asUintN(64, value);
const rotated = (value: bigint, by: bigint): bigint =>
  u64((value >> by) | u64(value << (64n - by)));
const mixed = (value: bigint): bigint => value ^ (value >> 47n);

/** Hash128to64 of the original. */
function folded(low: bigint, high: bigint): bigint {
  const a = u64((low ^ high) * MURMUR);
  const b = u64((high ^ (a ^ (a >> 47n))) * MURMUR);
  return u64((b ^ (b >> 47n)) * MURMUR);
}

/** HashLen0to16 of the original. */
function hashOfFew(view: DataView, at: number, length: number): bigint {
  const long = BigInt(length);
  if (length > 8) {
    const a = view.getBigUint64(at, true);
    const b = view.getBigUint64(at + length - 8, true);
    return folded(a, rotated(u64(b + long), long)) ^ b;
  }
  if (length >= 4) {
    const a = BigInt(view.getUint32(at, true));
    return folded(u64(long + (a << 3n)), BigInt(view.getUint32(at + length - 4, true)));
  }
  if (length > 0) {
    const y = view.getUint8(at) + (view.getUint8(at + (length >> 1)) << 8);
    const z = length + (view.getUint8(at + length - 1) << 2);
    return u64(mixed(u64(BigInt(y) * K2) ^ u64(BigInt(z) * K3)) * K2);
  }
  return K2;
}

/** CityMurmur of the original: under 128 bytes. */
function hashOfSome(
  view: DataView,
  at: number,
  length: number,
  low: bigint,
  high: bigint,
): readonly [bigint, bigint] {
  let a = low;
  let b = high;
  let c: bigint;
  let d: bigint;
  if (length <= 16) {
    a = u64(mixed(u64(a * K1)) * K1);
    c = u64(b * K1 + hashOfFew(view, at, length));
    d = mixed(u64(a + (length >= 8 ? view.getBigUint64(at, true) : c)));
  } else {
    const end = at + length;
    c = folded(u64(view.getBigUint64(end - 8, true) + K1), a);
    d = folded(u64(b + BigInt(length)), u64(c + view.getBigUint64(end - 16, true)));
    a = u64(a + d);
    for (let left = length - 16; left > 0; left -= 16, at += 16) {
      a = u64((a ^ u64(mixed(u64(view.getBigUint64(at, true) * K1)) * K1)) * K1);
      b ^= a;
      c = u64((c ^ u64(mixed(u64(view.getBigUint64(at + 8, true) * K1)) * K1)) * K1);
      d ^= c;
    }
  }
  a = folded(a, c);
  b = folded(d, b);
  return [a ^ b, folded(b, a)];
}

/** CityHash128WithSeed of the original. */
function hashOfMany(
  view: DataView,
  from: number,
  length: number,
  low: bigint,
  high: bigint,
): readonly [bigint, bigint] {
  if (length < 128) return hashOfSome(view, from, length, low, high);
  let at = from;
  let x = low;
  let y = high;
  let z = u64(BigInt(length) * K1);
  let v0 = u64(rotated(y ^ K1, 49n) * K1 + view.getBigUint64(at, true));
  let v1 = u64(rotated(v0, 42n) * K1 + view.getBigUint64(at + 8, true));
  let w0 = u64(rotated(u64(y + z), 35n) * K1 + x);
  let w1 = u64(rotated(u64(x + view.getBigUint64(at + 88, true)), 53n) * K1);
  let left = length;
  // Rounds of 64 bytes, always two: the state is 56 bytes wide.
  for (let round = 0; left >= 128 || (round & 1) === 1; round++) {
    x = u64(rotated(u64(x + y + v0 + view.getBigUint64(at + 16, true)), 37n) * K1) ^ w1;
    y = u64(rotated(u64(y + v1 + view.getBigUint64(at + 48, true)), 42n) * K1) ^ v0;
    z = rotated(z ^ w0, 33n);
    // WeakHashLen32WithSeeds, twice.
    let a = u64(u64(v1 * K1) + view.getBigUint64(at, true));
    let b = rotated(u64(x + w0 + a + view.getBigUint64(at + 24, true)), 21n);
    const c = a;
    a = u64(a + view.getBigUint64(at + 8, true) + view.getBigUint64(at + 16, true));
    b = u64(b + rotated(a, 44n));
    v0 = u64(a + view.getBigUint64(at + 24, true));
    v1 = u64(b + c);
    a = u64(z + w1 + view.getBigUint64(at + 32, true));
    b = rotated(u64(y + a + view.getBigUint64(at + 56, true)), 21n);
    const d = a;
    a = u64(a + view.getBigUint64(at + 40, true) + view.getBigUint64(at + 48, true));
    b = u64(b + rotated(a, 44n));
    w0 = u64(a + view.getBigUint64(at + 56, true));
    w1 = u64(b + d);
    const swapped = z;
    z = x;
    x = swapped;
    at += 64;
    left -= 64;
  }
  y = u64(y + u64(rotated(w0, 37n) * K0) + z);
  x = u64(x + u64(rotated(u64(v0 + z), 49n) * K0));
  // Up to four pieces of 32 bytes, from the end backwards.
  const end = from + length;
  for (let done = 32; done < left + 32; done += 32) {
    const piece = end - done;
    y = u64(u64(rotated(u64(y - x), 42n) * K0) + v1);
    w0 = u64(w0 + view.getBigUint64(piece + 16, true));
    x = u64(u64(rotated(x, 49n) * K0) + w0);
    w0 = u64(w0 + v0);
    let a = u64(v0 + view.getBigUint64(piece, true));
    let b = rotated(u64(v1 + a + view.getBigUint64(piece + 24, true)), 21n);
    const c = a;
    a = u64(a + view.getBigUint64(piece + 8, true) + view.getBigUint64(piece + 16, true));
    b = u64(b + rotated(a, 44n));
    v0 = u64(a + view.getBigUint64(piece + 24, true));
    v1 = u64(b + c);
  }
  x = folded(x, v0);
  y = folded(y, w0);
  return [u64(folded(u64(x + v1), w1) + y), folded(u64(x + w1), u64(y + v1))];
}

/** The checksum of some bytes: its low and high half, each 0..2^64-1. */
export function cityHash128(bytes: Uint8Array): readonly [low: bigint, high: bigint] {
  const { length } = bytes;
  const view = new DataView(bytes.buffer, bytes.byteOffset, length);
  if (length >= 16) {
    const low = view.getBigUint64(0, true) ^ K3;
    return hashOfMany(view, 16, length - 16, low, view.getBigUint64(8, true));
  }
  if (length >= 8) {
    const low = view.getBigUint64(0, true) ^ u64(BigInt(length) * K0);
    return hashOfMany(view, length, 0, low, view.getBigUint64(length - 8, true) ^ K1);
  }
  return hashOfMany(view, 0, length, K0, K1);
}
