/**
 * h11, an HTTP/1.1 implementation that shares nothing with ours, as a reader of bytes: one Python
 * process for a whole run, fed with length-prefixed cases (h11-reader.py).
 *
 * Without h11 a suite is pending and says so; where CI=true that is a failure, because a suite that
 * never ran must not look like one that passed.
 */
import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { join } from 'node:path';
import type { ReadRequests, ReadResponses } from './messages.ts';

/** Debian's own interpreter as well: another `python3` may come first in PATH, without h11. */
const PYTHONS = ['python3', '/usr/bin/python3'];

const pythonWithH11 = (): string | undefined =>
  PYTHONS.find(
    (python) => spawnSync(python, ['-c', 'import h11'], { stdio: 'ignore' }).status === 0,
  );

/** For a `before` hook: the reader, or the suite pending with a loud reason. */
export function startH11(context: Mocha.Context): H11Oracle {
  const python = pythonWithH11();
  if (python !== undefined) return new H11Oracle(python);
  const reason = 'h11 is not installed (Debian: apt-get install python3-h11)';
  if (process.env['CI'] === 'true') throw new Error(`CI needs this: ${reason}`);
  process.stderr.write(`\n*** PENDING: ${reason} ***\n\n`);
  return context.skip();
}

export class H11Oracle {
  readonly #child: ChildProcess;
  /** Who waits for an answer, in the order of the cases. */
  readonly #waiting: { resolve: (answer: unknown) => void; reject: (error: Error) => void }[] = [];
  #received = Buffer.alloc(0);
  /** Why there are no more answers. */
  #ended: Error | undefined;

  constructor(python: string) {
    const script = join(import.meta.dirname, 'h11-reader.py');
    this.#child = spawn(python, [script], { stdio: ['pipe', 'pipe', 'inherit'] });
    this.#child.stdout!.on('data', (bytes: Buffer) => this.#take(bytes));
    this.#child.stdin!.on('error', () => undefined);
    this.#child.on('close', (code) => {
      this.#ended = new Error(`the h11 reader ended with code ${String(code)}`);
      for (const { reject } of this.#waiting.splice(0)) reject(this.#ended);
    });
  }

  /** What h11 reads as a server. `eof`: the connection ends after the bytes. */
  requests(data: string, eof = false): Promise<ReadRequests> {
    return this.#ask({ side: 'requests', data, eof }) as Promise<ReadRequests>;
  }

  /** What h11 reads as a client that asked with these methods. */
  responses(data: string, methods: readonly string[], eof: boolean): Promise<ReadResponses> {
    return this.#ask({ side: 'responses', data, methods, eof }) as Promise<ReadResponses>;
  }

  /** Resolves when the process has ended. */
  async stop(): Promise<void> {
    if (this.#ended !== undefined) return;
    const ended = new Promise((resolve) => this.#child.once('close', resolve));
    this.#child.stdin!.end();
    await ended;
  }

  #ask(question: object): Promise<unknown> {
    if (this.#ended !== undefined) return Promise.reject(this.#ended);
    const body = Buffer.from(JSON.stringify(question));
    const head = Buffer.alloc(4);
    head.writeUInt32BE(body.length);
    this.#child.stdin!.write(Buffer.concat([head, body]));
    return new Promise((resolve, reject) => this.#waiting.push({ resolve, reject }));
  }

  #take(bytes: Buffer): void {
    this.#received = Buffer.concat([this.#received, bytes]);
    while (this.#received.length >= 4) {
      const end = 4 + this.#received.readUInt32BE(0);
      if (this.#received.length < end) return;
      const answer: unknown = JSON.parse(this.#received.toString('utf8', 4, end));
      this.#received = this.#received.subarray(end);
      this.#waiting.shift()!.resolve(answer);
    }
  }
}
