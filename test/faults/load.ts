/**
 * The load of the fault matrix, and the outside ledger: a list of every request that was sent and of
 * what became of it, kept by nobody but the driver. A few clients ask one thing after the other,
 * each under a path of its own, so that a row of the store can be held against its request.
 */
import { Agent, request } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';

export interface SentRequest {
  readonly path: string;
  /** Monotonic milliseconds of this process. */
  readonly startMs: number;
  readonly endMs: number;
  /** Unix milliseconds at which the answer was complete, or the failure known. */
  readonly endUnixMs: number;
  /** Of a whole answer; undefined when there was none. */
  readonly status: number | undefined;
  /** Why there was no answer. */
  readonly error?: string;
}

export interface Load {
  readonly sent: readonly SentRequest[];
  /** Answered with 200 so far. */
  readonly answered: number;
  /** Resolves when `count` more requests that began after the call were answered with 200. */
  more(count: number): Promise<void>;
  /** Sends nothing more; resolves with the list when the last answer is in. */
  stop(): Promise<readonly SentRequest[]>;
}

const CLIENTS = 4;
/** Between an answer and the client's next request: about 200 requests a second in all. */
const PAUSE_MS = 20;
/** Above every deadline of the proxies: they answer, or it is their fault. */
const ANSWER_TIMEOUT_MS = 60_000;

/** Sends requests `<prefix>/<n>` to `url` until stopped. */
export function startLoad(url: string, prefix: string): Load {
  return new Clients(url, prefix);
}

class Clients implements Load {
  readonly sent: SentRequest[] = [];
  answered = 0;
  readonly #url: URL;
  readonly #prefix: string;
  readonly #agent = new Agent({ keepAlive: true });
  readonly #clients: Promise<void>[];
  #waiting: { sinceMs: number; left: number; done: () => void }[] = [];
  #number = 0;
  #stopped = false;

  constructor(url: string, prefix: string) {
    this.#url = new URL(url);
    this.#prefix = prefix;
    this.#clients = Array.from({ length: CLIENTS }, () => this.#run());
  }

  more(count: number): Promise<void> {
    return new Promise((done) =>
      this.#waiting.push({ sinceMs: performance.now(), left: count, done }),
    );
  }

  async stop(): Promise<readonly SentRequest[]> {
    this.#stopped = true;
    await Promise.all(this.#clients);
    this.#agent.destroy();
    return this.sent;
  }

  async #run(): Promise<void> {
    while (!this.#stopped) {
      const one = await this.#send(`${this.#prefix}/${++this.#number}`);
      this.sent.push(one);
      if (one.status === 200) {
        this.answered++;
        for (const waiting of this.#waiting) {
          if (one.startMs >= waiting.sinceMs && --waiting.left <= 0) waiting.done();
        }
        this.#waiting = this.#waiting.filter(({ left }) => left > 0);
      }
      await sleep(PAUSE_MS);
    }
  }

  #send(path: string): Promise<SentRequest> {
    const startMs = performance.now();
    return new Promise((resolve) => {
      const end = (status: number | undefined, error?: string): void =>
        resolve({
          path,
          startMs,
          endMs: performance.now(),
          endUnixMs: Date.now(),
          status,
          ...(error === undefined ? {} : { error }),
        });
      const out = request({
        agent: this.#agent,
        host: this.#url.hostname,
        port: this.#url.port,
        path,
        timeout: ANSWER_TIMEOUT_MS,
      });
      out.on('timeout', () => out.destroy(new Error('no answer')));
      out.on('error', (error) => end(undefined, error.message));
      out.on('response', (answer) => {
        answer.on('error', (error) => end(undefined, error.message));
        answer.on('end', () => end(answer.statusCode));
        answer.resume();
      });
      out.end();
    });
  }
}
