/**
 * An HTTP front before the store that fails on command. Collectors insert through it; it forwards
 * everything, but inserts of rows can meet a fault: refused, cut off, never answered, answered with
 * an exception inside a 200, or held at a moment at which a collector is then killed.
 */
import { once } from 'node:events';
import {
  Agent,
  createServer,
  request,
  type IncomingMessage,
  type Server,
  type ServerResponse,
} from 'node:http';
import type { AddressInfo } from 'node:net';
import { buffer } from 'node:stream/consumers';
import { setTimeout as sleep } from 'node:timers/promises';

/** What an insert meets. Nothing is stored unless it says so. */
export const STORE_FAULTS = [
  'status_500',
  'never_answers',
  'reset',
  /** Stored; the connection ends before the answer. */
  'reset_after_insert',
  /** 200 whose body is an exception, as a server answers that failed after its headers. */
  'exception_in_200',
  'too_many_parts',
  /** Stored after SLOW_MS. */
  'slow',
] as const;
export type StoreFault = (typeof STORE_FAULTS)[number];

/** Where a held insert stands: `before` the store has it, or `after` it confirmed, unanswered. */
export type HoldPoint = 'before' | 'after';

export interface StoreFront {
  readonly url: string;
  /** Where it forwards to; nothing is asked of it before it is set. */
  target: string;
  fault: StoreFault | undefined;
  /** Inserts that met the fault since `fault` was set. */
  faulted: number;
  /** Inserts that the store itself answered with an error. */
  readonly refused: number;
  /**
   * Holds the next insert of spans at `point` and resolves once it stands there. It is never
   * answered: the fault is that its sender ends, or gives up.
   */
  holdNext(point: HoldPoint): Promise<void>;
  stop(): Promise<void>;
}

const SLOW_MS = 3_000;
const TOO_MANY_PARTS =
  'Code: 252. DB::Exception: Too many parts (3000 with average size of 1.00 KiB) in table azimuth.spans. ' +
  'Merges are processing significantly slower than inserts. (TOO_MANY_PARTS)\n';
const MEMORY_LIMIT =
  'Code: 241. DB::Exception: Memory limit (total) exceeded: would use 1.00 GiB. (MEMORY_LIMIT_EXCEEDED)\n';

export async function startStoreFront(): Promise<StoreFront> {
  const front = new Front();
  await front.start();
  return front;
}

class Front implements StoreFront {
  target = '';
  faulted = 0;
  refused = 0;
  readonly #server: Server = createServer((req, res) => {
    this.#answer(req, res).catch(() => res.destroy());
  });
  readonly #agent = new Agent({ keepAlive: true, timeout: 4_000 });
  #fault: StoreFault | undefined;
  #hold: { point: HoldPoint; reached: () => void } | undefined;

  get fault(): StoreFault | undefined {
    return this.#fault;
  }

  set fault(fault: StoreFault | undefined) {
    this.#fault = fault;
    this.faulted = 0;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  async start(): Promise<void> {
    this.#server.listen(0, '127.0.0.1');
    await once(this.#server, 'listening');
  }

  async stop(): Promise<void> {
    this.#server.closeAllConnections();
    this.#agent.destroy();
    await new Promise((done) => this.#server.close(done));
  }

  holdNext(point: HoldPoint): Promise<void> {
    return new Promise((reached) => (this.#hold = { point, reached }));
  }

  async #answer(req: IncomingMessage, res: ServerResponse): Promise<void> {
    const body = await buffer(req);
    const query = new URL(req.url ?? '/', 'http://store').searchParams.get('query') ?? '';
    if (!query.startsWith('INSERT')) {
      await this.#forward(req, body, res);
      return;
    }
    const hold = /^INSERT INTO spans\b/.test(query) ? this.#hold : undefined;
    if (hold !== undefined) {
      this.#hold = undefined;
      if (hold.point === 'after') await this.#ask(req, body);
      hold.reached();
      return;
    }
    const fault = this.#fault;
    if (fault === undefined) {
      if ((await this.#forward(req, body, res)) !== 200) this.refused++;
      return;
    }
    await this.#misbehave(fault, req, body, res);
    this.faulted++;
  }

  async #misbehave(
    fault: StoreFault,
    req: IncomingMessage,
    body: Buffer,
    res: ServerResponse,
  ): Promise<void> {
    switch (fault) {
      case 'status_500':
        res.writeHead(500).end('no ClickHouse speaks here\n');
        return;
      case 'never_answers':
        return;
      case 'reset':
        req.socket.resetAndDestroy();
        return;
      case 'reset_after_insert':
        await this.#ask(req, body);
        req.socket.resetAndDestroy();
        return;
      case 'exception_in_200':
        res.writeHead(200).end(MEMORY_LIMIT);
        return;
      case 'too_many_parts':
        res.writeHead(500, { 'X-ClickHouse-Exception-Code': '252' }).end(TOO_MANY_PARTS);
        return;
      case 'slow':
        await sleep(SLOW_MS);
        await this.#forward(req, body, res);
    }
  }

  /** Resolves with the answer's status. */
  async #forward(req: IncomingMessage, body: Buffer, res: ServerResponse): Promise<number> {
    const answer = await this.#ask(req, body);
    res.writeHead(answer.status, answer.headers).end(answer.body);
    return answer.status;
  }

  /** Asks the store the same and takes the whole answer. */
  async #ask(
    req: IncomingMessage,
    body: Buffer,
  ): Promise<{ status: number; headers: Record<string, string>; body: Buffer }> {
    const target = new URL(req.url ?? '/', this.target);
    const headers = { ...req.headers, 'content-length': String(body.length) };
    delete headers['transfer-encoding'];
    delete headers.connection;
    const sent = request(target, { method: req.method, agent: this.#agent, headers });
    sent.end(body);
    const [answer] = (await once(sent, 'response')) as [IncomingMessage];
    const kept: Record<string, string> = {};
    for (const [name, value] of Object.entries(answer.headers)) {
      if (
        typeof value === 'string' &&
        !/^(transfer-encoding|connection|content-length)$/.test(name)
      )
        kept[name] = value;
    }
    return { status: answer.statusCode ?? 502, headers: kept, body: await buffer(answer) };
  }
}
