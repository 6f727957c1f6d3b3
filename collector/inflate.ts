/**
 * Content-Encoding of a received body. The limit holds while inflating, so that a bomb is refused
 * after the first bytes too many and never lies in memory; and only a few bodies inflate at once.
 */
import { promisify } from 'node:util';
import { gunzip, inflate as inflateZlib, inflateRaw, zstdDecompress } from 'node:zlib';
import { messageOf } from '../runtime/errors.ts';

export type Inflated =
  | { readonly kind: 'body'; readonly body: Buffer }
  | { readonly kind: 'too_large' }
  | { readonly kind: 'malformed'; readonly detail: string };

type Decoder = (body: Buffer, options: { maxOutputLength: number }) => Promise<Buffer>;

const inflateWrapped = promisify(inflateZlib) as Decoder;
const inflateBare = promisify(inflateRaw) as Decoder;

const DECODERS: Readonly<Record<string, Decoder>> = {
  gzip: promisify(gunzip),
  zstd: promisify(zstdDecompress),
  // "deflate" means the zlib format, but some senders leave its two-byte head out.
  deflate: (body, options) =>
    ((body[0] ?? 0) & 0x0f) === 8 ? inflateWrapped(body, options) : inflateBare(body, options),
};

/** Bodies that inflate at the same time; Node's thread pool has four threads. */
const PARALLEL_MAX = 4;
let running = 0;
const waiting: (() => void)[] = [];

export function isKnownEncoding(encoding: string): boolean {
  return encoding === 'identity' || Object.hasOwn(DECODERS, encoding);
}

/** Inflates a body of a known encoding to at most `bytesMax` bytes. Never throws. */
export async function inflate(body: Buffer, encoding: string, bytesMax: number): Promise<Inflated> {
  const decoder = DECODERS[encoding];
  if (decoder === undefined) {
    return body.length > bytesMax ? { kind: 'too_large' } : { kind: 'body', body };
  }
  if (running < PARALLEL_MAX) running++;
  // Whoever ends hands its place over.
  else await new Promise<void>((resolve) => waiting.push(resolve));
  try {
    return { kind: 'body', body: await decoder(body, { maxOutputLength: bytesMax }) };
  } catch (error) {
    const isBomb = (error as NodeJS.ErrnoException).code === 'ERR_BUFFER_TOO_LARGE';
    return isBomb ? { kind: 'too_large' } : { kind: 'malformed', detail: messageOf(error) };
  } finally {
    const next = waiting.shift();
    if (next === undefined) running--;
    else next();
  }
}
