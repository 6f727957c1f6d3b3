/** Cuts answers out of what a connection of our load generators read; Content-Length only. */
import { PATH, type Headers } from './load.ts';

/** A GET of the benchmark's path. */
export function requestBytes(port: number, headers: Headers = {}): Buffer {
  const fields = Object.entries({ Host: `127.0.0.1:${port}`, Accept: '*/*', ...headers });
  const lines = fields.map(([name, value]) => `${name}: ${value}\r\n`).join('');
  return Buffer.from(`GET ${PATH} HTTP/1.1\r\n${lines}\r\n`, 'latin1');
}

export class AnswerReader {
  #rest: Buffer | undefined;

  /** True when `data` completes the one answer that is due. Throws on an answer without a length. */
  complete(data: Buffer): boolean {
    const buffer = this.#rest === undefined ? data : Buffer.concat([this.#rest, data]);
    const isWhole = wholeAnswer(buffer);
    this.#rest = isWhole ? undefined : buffer;
    return isWhole;
  }
}

/** `HTTP/1.1 2..`: the first digit of the status. */
export const isSuccess = (answer: Buffer): boolean => answer[9] === 50;

function wholeAnswer(buffer: Buffer): boolean {
  const head = buffer.indexOf('\r\n\r\n');
  if (head < 0) return false;
  // Whatever the case of `Content-Length`; no other field of these answers ends so.
  const at = buffer.indexOf('ength: ', 0, 'latin1');
  if (at < 0 || at > head) throw new Error('an answer without Content-Length');
  const length = Number(buffer.toString('latin1', at + 7, buffer.indexOf('\r', at)));
  return buffer.length >= head + 4 + length;
}
