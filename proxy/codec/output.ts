/**
 * Writes messages to sockets: head, content segments and chunk framing go out in ONE write, built
 * in a scratch buffer that all connections share. Half of a proxied request's CPU is its two socket
 * writes, so a second write per message is the one thing never to do here.
 *
 * The scratch is shared because the kernel usually takes a whole message at once. Where it did not,
 * the stream still owns those bytes: it keeps that scratch, and the next message gets a new one. A
 * socket that already holds data gets an exact-size copy, so that a slow peer pins its bytes only.
 */
import type { Socket } from 'node:net';
import type { TLSSocket } from 'node:tls';
import { content, segments } from './body.ts';

/** One read (64 KiB) with its head (16 KiB), interim responses and chunk framing. */
export const SCRATCH_BYTES = 98_304;
let scratch = Buffer.allocUnsafeSlow(SCRATCH_BYTES);

/** Bytes that the last write handed to the socket. */
export let writtenBytes = 0;

/** Writes a latin1 string as one message. False when the socket wants a pause. */
export function writeText(socket: Socket, text: string): boolean {
  content.pairs = 0;
  content.bytes = 0;
  return writeContent(socket, text, scratch, '');
}

/** Writes prefix, the marked segments of `b`, and suffix. False when the socket wants a pause. */
export function writeContent(socket: Socket, prefix: string, b: Buffer, suffix: string): boolean {
  const total = prefix.length + content.bytes + suffix.length;
  writtenBytes = total;
  if (total === 0) return !isBlocked(socket);
  const busy = socket.connecting || socket.writableLength > 0;
  const target = busy || total > SCRATCH_BYTES ? Buffer.allocUnsafe(total) : scratch;
  let o = prefix === '' ? 0 : target.write(prefix, 0, 'latin1');
  for (let i = 0; i < content.pairs; i += 2) {
    o += b.copy(target, o, segments[i], segments[i + 1]);
  }
  if (suffix !== '') o += target.write(suffix, o, 'latin1');
  socket.write(target === scratch ? scratch.subarray(0, o) : target);
  if (target === scratch && socket.writableLength > 0 && !isTls(socket)) {
    scratch = Buffer.allocUnsafeSlow(SCRATCH_BYTES);
  }
  return !isBlocked(socket);
}

/** Writes b[0, n) as it is. False when the socket wants a pause. */
export function writeBytes(socket: Socket, b: Buffer, n: number): boolean {
  segments[0] = 0;
  segments[1] = n;
  content.pairs = 2;
  content.bytes = n;
  return writeContent(socket, '', b, '');
}

/** As writeContent, with the content framed as one chunk; behind the last comes the body's end. */
export function writeChunk(
  socket: Socket,
  prefix: string,
  b: Buffer,
  done: boolean,
  trailerLines: string,
): boolean {
  let last = '';
  if (done) last = trailerLines === '' ? '0\r\n\r\n' : '0\r\n' + trailerLines + '\r\n';
  if (content.bytes === 0) return writeContent(socket, prefix, b, last);
  const sizeHex = content.bytes.toString(16);
  return writeContent(socket, prefix + sizeHex + '\r\n', b, '\r\n' + last);
}

/**
 * TLS encrypts (or, before the handshake is over, copies) what it is given before `write` returns,
 * and tells of it a turn later, always: it holds bytes of its own, never the scratch. A write behind
 * one that it has not told of does not get the scratch, see `busy`.
 */
const isTls = (socket: Socket): boolean => (socket as Partial<TLSSocket>).encrypted === true;

/** One record of TLS, the most that it holds back of a message. */
const TLS_TURN_BYTES = 16_384;

/**
 * Bytes that the kernel has not taken. Of TLS nobody can tell before the next turn, so that a little
 * counts as taken, as the kernel's own buffer does; what stays adds up and is seen with the next.
 */
export function waitingBytes(socket: Socket): number {
  const bytes = socket.writableLength;
  return bytes > 0 && bytes <= TLS_TURN_BYTES && isTls(socket) ? 0 : bytes;
}

/**
 * True when the socket's own buffer is over its mark. A large write that the kernel took whole
 * raises `writableNeedDrain` too, without anything to wait for: hence both conditions.
 */
export const isBlocked = (socket: Socket): boolean =>
  socket.writableNeedDrain && socket.writableLength > 0;
