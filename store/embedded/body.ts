/**
 * Reading a request's body: inflating it, its head as SQL, all of it where it must be looked at as
 * a whole. Everything has a limit that also holds after inflating.
 */
import type { IncomingMessage } from 'node:http';
import type { Readable } from 'node:stream';
import zlib from 'node:zlib';
import { Unframer } from './block-frames.ts';
import { ClickHouseFault } from './clickhouse-fault.ts';
import type { BodyEncoding } from './request.ts';

/** SQL without rows, and the head of an INSERT: ClickHouse's max_query_size. */
export const SQL_BYTES_MAX = 262_144;

/** The body without its Content-Encoding and, inside of that, without ClickHouse's frames. */
export function decoded(
  req: IncomingMessage,
  encoding: BodyEncoding | undefined,
  framed: boolean,
): Readable {
  const decoder =
    encoding === undefined
      ? undefined
      : {
          gzip: zlib.createGunzip,
          deflate: zlib.createInflate,
          br: zlib.createBrotliDecompress,
          zstd: zlib.createZstdDecompress,
        }[encoding]();
  let body: Readable = req;
  for (const next of [decoder, framed ? new Unframer() : undefined]) {
    if (next === undefined) continue;
    // A body that breaks off must not look like its end.
    body.on('error', (error) => next.destroy(error));
    req.on('aborted', () => next.destroy(new Error('the request broke off')));
    body = body.pipe(next);
  }
  return body;
}

/** SQL of URL and body up to its limit; `rest` is what the body still holds, if it does. */
export async function readHead(
  inUrl: Buffer,
  body: Readable | undefined,
): Promise<{ head: Buffer; rest: Readable | undefined }> {
  const chunks = inUrl.length > 0 ? [inUrl] : [];
  if (body === undefined) return { head: Buffer.concat(chunks), rest: undefined };
  if (inUrl.length > 0) chunks.push(Buffer.from('\n'));
  let bytes = 0;
  for await (const chunk of body.iterator({ destroyOnReturn: false })) {
    chunks.push(chunk as Buffer);
    bytes += (chunk as Buffer).length;
    if (bytes >= SQL_BYTES_MAX) return { head: Buffer.concat(chunks), rest: body };
  }
  return { head: Buffer.concat(chunks), rest: undefined };
}

/** All of `first` and `rest`; throws 307 over `bytesMax`. `what` names it, with what to do. */
export async function readAll(
  first: Buffer,
  rest: Readable | undefined,
  bytesMax: number,
  what: string,
): Promise<Buffer> {
  const chunks = [first];
  let bytes = first.length;
  for await (const chunk of rest ?? []) {
    chunks.push(chunk as Buffer);
    bytes += (chunk as Buffer).length;
    if (bytes > bytesMax) {
      throw new ClickHouseFault(307, `over ${bytesMax} bytes of ${what}`);
    }
  }
  return Buffer.concat(chunks);
}

/** Errors of inflating are the sender's; the rest stays as it is. */
export function bodyFault(error: unknown): unknown {
  const code = (error as NodeJS.ErrnoException).code ?? '';
  if (/^(Z_|ERR__ERROR|ERR_BROTLI|ERR_ZSTD|ZSTD_)/.test(code)) {
    return new ClickHouseFault(354, `the body is not what Content-Encoding says (${code})`);
  }
  return error;
}
