/**
 * Writes answers of the ClickHouse interface: headers, formats, compression, and errors in the form
 * that ClickHouse's clients read. An answer that breaks off in the middle ends with the exception
 * block of ClickHouse 25.11 and a closed connection, never with a clean end.
 */
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import type { ServerResponse } from 'node:http';
import { promisify } from 'node:util';
import { finished, type Transform, type Writable } from 'node:stream';
import zlib from 'node:zlib';
import { framed } from './block-frames.ts';
import { faultOf, ClickHouseFault } from './clickhouse-fault.ts';
import { atRevision } from './native-revision.ts';
import type { BodyEncoding } from './request.ts';

export interface AnswerFacts {
  readonly queryId: string;
  readonly format: string;
  readonly timezone: string;
  readonly encoding: BodyEncoding | undefined;
  /** Cut into frames of ClickHouse's own compression, inside of `encoding`. */
  readonly framed: boolean;
  /** Of the reader of Native; 0 = none was named. */
  readonly revision: number;
}

const CONTENT_TYPES: readonly (readonly [pattern: RegExp, type: string])[] = [
  [/^JSON(Lines|.*EachRow.*)$|^NDJSON$/, 'application/x-ndjson; charset=UTF-8'],
  [/^(JSON.*|XML)$/, 'application/json; charset=UTF-8'],
  [/^CSVWithNames.*/, 'text/csv; charset=UTF-8; header=present'],
  [/^CSV/, 'text/csv; charset=UTF-8; header=absent'],
  [/^(TSV|TabSeparated)/, 'text/tab-separated-values; charset=UTF-8'],
  [
    /^(Native|RowBinary.*|Parquet|Arrow.*|ORC|Avro|Protobuf.*|CapnProto|MsgPack|Npy|BSON.*|RawBLOB)$/,
    'application/octet-stream',
  ],
];

function contentType(format: string): string {
  if (format === 'XML') return 'application/xml; charset=UTF-8';
  return (
    CONTENT_TYPES.find(([pattern]) => pattern.test(format))?.[1] ?? 'text/plain; charset=UTF-8'
  );
}

function commonHeaders(facts: AnswerFacts): Record<string, string> {
  return {
    'X-ClickHouse-Server-Display-Name': 'azimuth',
    'X-ClickHouse-Query-Id': facts.queryId,
    'X-ClickHouse-Timezone': facts.timezone,
    'X-ClickHouse-Format': facts.format,
    'Content-Type': contentType(facts.format),
    ...(facts.encoding === undefined ? {} : { 'Content-Encoding': facts.encoding }),
  };
}

/** Figures of `X-ClickHouse-Summary`; only what is known is in it. */
export type Summary = Readonly<Record<string, string>>;

const compressors = {
  gzip: promisify<zlib.InputType, zlib.ZlibOptions, Buffer>(zlib.gzip),
  deflate: promisify<zlib.InputType, zlib.ZlibOptions, Buffer>(zlib.deflate),
  br: promisify<zlib.InputType, zlib.BrotliOptions, Buffer>(zlib.brotliCompress),
  zstd: promisify<zlib.InputType, zlib.ZstdOptions, Buffer>(zlib.zstdCompress),
};
/** Speed before ratio: the other side is near. */
const FAST_BROTLI: zlib.BrotliOptions = { params: { [zlib.constants.BROTLI_PARAM_QUALITY]: 1 } };
const FAST_ZSTD: zlib.ZstdOptions = {
  params: { [zlib.constants.ZSTD_c_compressionLevel]: 1 },
};

/** A whole answer, its length known. Throws code 48 for one that the reader's revision cannot hold. */
export async function sendWhole(
  res: ServerResponse,
  facts: AnswerFacts,
  answer: Uint8Array,
  summary: Summary,
): Promise<void> {
  const read = facts.format === 'Native' ? atRevision(answer, facts.revision) : answer;
  const bytes = facts.framed ? framed(read) : read;
  const body =
    facts.encoding === undefined
      ? bytes
      : facts.encoding === 'br'
        ? await compressors.br(bytes, FAST_BROTLI)
        : facts.encoding === 'zstd'
          ? await compressors.zstd(bytes, FAST_ZSTD)
          : await compressors[facts.encoding](bytes, { level: 1 });
  if (res.destroyed) return;
  res.writeHead(200, {
    ...commonHeaders(facts),
    'X-ClickHouse-Summary': JSON.stringify(summary),
    'Content-Length': body.length,
  });
  res.end(body);
}

/**
 * Streams chunks as they come, at the pace of the reader, and resolves when the answer ended. An error of the source before the first chunk is thrown; after
 * it, it becomes the answer's tail.
 */
export async function sendStream(
  res: ServerResponse,
  facts: AnswerFacts,
  chunks: AsyncIterable<{ bytes: Uint8Array }>,
  version: string,
): Promise<void> {
  const source = chunks[Symbol.asyncIterator]();
  const first = await source.next();
  const tag = randomBytes(8).toString('hex');
  res.writeHead(200, { ...commonHeaders(facts), 'X-ClickHouse-Exception-Tag': tag });
  const squeeze = compressor(facts.encoding);
  const out: Writable = squeeze ?? res;
  squeeze?.on('error', () => res.destroy());
  squeeze?.pipe(res, { end: false });
  let tail: string | undefined;
  try {
    for (let step = first; step.done !== true; step = await source.next()) {
      if (res.destroyed) {
        await source.return?.();
        return;
      }
      if (!out.write(step.value.bytes)) await writableAgain(out, res);
    }
  } catch (error) {
    const text = `${faultOf(error).text} (version ${version} (official build))\n`;
    const length = Buffer.byteLength(text);
    tail = `\r\n__exception__\r\n${tag}\r\n${text}${length} ${tag}\r\n__exception__\r\n`;
    out.write(tail);
  }
  if (squeeze !== undefined) {
    squeeze.end();
    await new Promise((resolve) => finished(squeeze, { writable: false }, resolve));
  }
  if (tail === undefined) {
    res.end();
    await new Promise((resolve) => finished(res, resolve));
  } else {
    // After the tail, but before the chunk that would say "complete".
    res.socket?.destroySoon();
  }
}

function compressor(encoding: BodyEncoding | undefined): Transform | undefined {
  switch (encoding) {
    case 'gzip':
      return zlib.createGzip({ level: 1 });
    case 'deflate':
      return zlib.createDeflate({ level: 1 });
    case 'br':
      return zlib.createBrotliCompress(FAST_BROTLI);
    case 'zstd':
      return zlib.createZstdCompress(FAST_ZSTD);
    case undefined:
      return undefined;
  }
}

/** Waits for room, or for the reader's end. */
async function writableAgain(out: Writable, res: ServerResponse): Promise<void> {
  const gone = new AbortController();
  const leave = (): void => gone.abort();
  res.once('close', leave);
  try {
    if (!res.destroyed) await once(out, 'drain', { signal: gone.signal });
  } catch {
    // The reader is gone; the caller sees res.destroyed.
  } finally {
    res.off('close', leave);
  }
}

/** An error as ClickHouse answers it; when the answer had begun, the connection is closed. */
export function sendFault(
  res: ServerResponse,
  error: unknown,
  facts: { readonly queryId: string; readonly version: string; readonly framed: boolean },
): void {
  if (res.destroyed) return;
  if (res.headersSent) {
    res.destroy();
    return;
  }
  const { code, status, text } = faultOf(error);
  const retryAfterS = error instanceof ClickHouseFault ? error.retryAfterS : undefined;
  const message = Buffer.from(`${text} (version ${facts.version} (official build))\n`);
  const body = facts.framed ? framed(message) : message;
  res.writeHead(status === 499 ? 500 : status, {
    'Content-Type': 'text/plain; charset=UTF-8',
    'X-ClickHouse-Server-Display-Name': 'azimuth',
    'X-ClickHouse-Exception-Code': String(code),
    'X-ClickHouse-Query-Id': facts.queryId,
    'Content-Length': body.length,
    ...(status === 401 ? { 'WWW-Authenticate': 'Basic realm="ClickHouse server HTTP API"' } : {}),
    ...(retryAfterS === undefined ? {} : { 'Retry-After': String(retryAfterS) }),
  });
  res.end(body);
}
