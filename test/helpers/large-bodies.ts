/**
 * A long upload through a proxy in a process of its own, and how much memory that took at most.
 */
import { once } from 'node:events';
import { request, type IncomingMessage } from 'node:http';
import type { ChildProxy } from './child-proxy.ts';

const PIECE = Buffer.alloc(262_144, 'b');

/** Sends `bytes` (a multiple of 256 KiB) as one chunked body, as fast as they are taken. */
export async function uploadThrough(
  proxy: ChildProxy,
  bytes: number,
): Promise<{ readonly peakRssBytes: number; readonly status: number }> {
  const upload = request({ port: proxy.port, host: '127.0.0.1', method: 'POST', path: '/' });
  const answered = once(upload, 'response') as Promise<[IncomingMessage]>;
  let peakRssBytes = 0;
  for (let sent = 0; sent < bytes; sent += PIECE.length) {
    if (!upload.write(PIECE)) await once(upload, 'drain');
    // Each 4 MiB is often enough: what is held for longer than that is held.
    if (sent % (16 * PIECE.length) === 0) {
      peakRssBytes = Math.max(peakRssBytes, (await proxy.state()).rssBytes);
    }
  }
  upload.end();
  const [response] = await answered;
  response.resume();
  await once(response, 'end');
  peakRssBytes = Math.max(peakRssBytes, (await proxy.state()).rssBytes);
  return { peakRssBytes, status: response.statusCode ?? 0 };
}
