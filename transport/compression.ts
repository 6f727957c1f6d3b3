/**
 * Compresses a body before it leaves: small ones at once, large ones in Node's thread pool, so that
 * no batch holds up the event loop on which requests are carried.
 *
 * Levels are the cheapest ones: on packed hops a higher level saves 4 to 6 % of what is left and costs
 * 34 % more CPU and up (docs/adr/014-transport.md).
 */
import { promisify } from 'node:util';
import { constants, gzip, gzipSync, zstdCompress, zstdCompressSync } from 'node:zlib';

export type Compression = 'none' | 'gzip' | 'zstd';

/**
 * Up to here compressing takes 56 (zstd) to 135 (gzip) microseconds, too little to be felt by a request;
 * above it the thread pool does it.
 */
const AT_ONCE_BYTES_MAX = 16_384;

const GZIP = { level: 1 };
const ZSTD = { params: { [constants.ZSTD_c_compressionLevel]: 1 } };

const gzipLater = promisify<Uint8Array, typeof GZIP, Buffer>(gzip);
const zstdLater = promisify<Uint8Array, typeof ZSTD, Buffer>(zstdCompress);

/** The compressed bytes; `body` itself for `none`. The caller must not write into `body` meanwhile. */
export async function compress(body: Uint8Array, compression: Compression): Promise<Uint8Array> {
  if (compression === 'none') return body;
  const atOnce = body.byteLength <= AT_ONCE_BYTES_MAX;
  if (compression === 'gzip') return atOnce ? gzipSync(body, GZIP) : gzipLater(body, GZIP);
  return atOnce ? zstdCompressSync(body, ZSTD) : zstdLater(body, ZSTD);
}
