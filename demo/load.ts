/**
 * Open-loop load on the shop's gateway: request n is due at start + n / rate, whatever happened to
 * those before it, and its latency counts from when it was due, not from when it was sent. So a
 * mesh that stalls is seen to stall. Bounded in count; seeded, so that a run can be repeated.
 *
 * Library for demo/run.ts, and a program: `node demo/load.ts --url http://127.0.0.1:8080`.
 */
import { Agent, request } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { shopRequest } from './shop/behaviour.ts';
import { FAULT_HEADER, REQUEST_NUMBER_HEADER } from './shop/seeded.ts';

export interface LoadSettings {
  /** The gateway, such as http://127.0.0.1:8080. */
  readonly url: string;
  readonly ratePerS: number;
  /** Requests in all; undefined: until `signal`. */
  readonly count: number | undefined;
  readonly seed: number;
  /** Ends the sending; what is under way is awaited. */
  readonly signal?: AbortSignal;
  /** Number of the first request, so that a second load does not repeat the first. */
  readonly firstNumber?: number;
  readonly onFirstAnswer?: () => void;
}

/** Latencies in milliseconds, from when a request was due to the end of its answer. */
export interface LoadResult {
  readonly sent: number;
  /** Answers of any status. */
  readonly answered: number;
  /** Requests without an answer, and answers of 5xx that the shop did not make up. */
  readonly errors: number;
  /** Failures that the shop makes up (demo/shop/behaviour.ts). */
  readonly faultsMadeUp: number;
  readonly seconds: number;
  readonly p50Ms: number;
  readonly p90Ms: number;
  readonly p99Ms: number;
  readonly maxMs: number;
  /** Text and count of each kind of error, at most ten kinds. */
  readonly errorKinds: ReadonlyMap<string, number>;
}

/** Connections at once at most: what does not fit waits in the agent, and its latency shows it. */
const SOCKETS_MAX = 256;
/** Idle connections end before the gateway would end them. */
const IDLE_MS = 4_000;
/** No answer by then is an error; above the gateway's own response timeout. */
const ANSWER_TIMEOUT_MS = 30_000;
/** Latencies kept for percentiles when the count is open; older ones are overwritten. */
const LATENCIES_KEPT = 100_000;

/** Sends the load and resolves when the last answer is in. Never rejects. */
export async function runLoad(settings: LoadSettings): Promise<LoadResult> {
  const { ratePerS, count, seed, signal } = settings;
  const url = new URL(settings.url);
  const agent = new Agent({ keepAlive: true, maxSockets: SOCKETS_MAX, timeout: IDLE_MS });
  const latenciesMs = new Float64Array(Math.max(1, count ?? LATENCIES_KEPT));
  const errorKinds = new Map<string, number>();
  let sent = 0;
  let answered = 0;
  let errors = 0;
  let faultsMadeUp = 0;
  const countError = (kind: string): void => {
    errors++;
    if (errorKinds.has(kind) || errorKinds.size < 10) {
      errorKinds.set(kind, (errorKinds.get(kind) ?? 0) + 1);
    }
  };

  const sendOne = (index: number, dueMs: number): Promise<void> =>
    new Promise((done) => {
      const number = (settings.firstNumber ?? 0) + index;
      const { method, path, body } = shopRequest(seed, number);
      let over = false;
      const end = (error?: string): void => {
        if (over) return;
        over = true;
        if (error !== undefined) countError(error);
        done();
      };
      const out = request({
        agent,
        host: url.hostname,
        port: url.port,
        method,
        path,
        headers: {
          host: url.host,
          [REQUEST_NUMBER_HEADER]: String(number),
          ...(body === undefined
            ? {}
            : { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) }),
        },
        timeout: ANSWER_TIMEOUT_MS,
      });
      out.on('timeout', () => out.destroy(new Error(`no answer within ${ANSWER_TIMEOUT_MS} ms`)));
      out.on('error', (error) => end(error.message));
      out.on('response', (response) => {
        response.on('error', (error) => end(error.message));
        response.on('end', () => {
          latenciesMs[answered % latenciesMs.length] = performance.now() - dueMs;
          if (answered++ === 0) settings.onFirstAnswer?.();
          const status = response.statusCode ?? 0;
          if (response.headers[FAULT_HEADER] !== undefined) faultsMadeUp++;
          end(
            status >= 400 && response.headers[FAULT_HEADER] === undefined
              ? `status ${status} for ${method} ${path.replace(/[0-9]+/g, 'N')}`
              : undefined,
          );
        });
        response.resume();
      });
      out.end(body);
      sent++;
    });

  const startMs = performance.now();
  const underWay = new Set<Promise<void>>();
  for (let index = 0; count === undefined || index < count; index++) {
    const dueMs = startMs + (index * 1000) / ratePerS;
    const earlyMs = dueMs - performance.now();
    // Below a millisecond a timer is late rather than early, so such requests go out together.
    if (earlyMs >= 1) await sleep(earlyMs, undefined, { signal }).catch(() => undefined);
    if (signal?.aborted === true) break;
    const one = sendOne(index, dueMs);
    underWay.add(one);
    void one.then(() => underWay.delete(one));
  }
  await Promise.all(underWay);
  agent.destroy();

  const sorted = latenciesMs.subarray(0, Math.min(answered, latenciesMs.length)).sort();
  const quantile = (q: number): number =>
    sorted[Math.min(sorted.length - 1, Math.floor(q * sorted.length))] ?? 0;
  return {
    sent,
    answered,
    errors,
    faultsMadeUp,
    seconds: (performance.now() - startMs) / 1000,
    p50Ms: quantile(0.5),
    p90Ms: quantile(0.9),
    p99Ms: quantile(0.99),
    maxMs: sorted.at(-1) ?? 0,
    errorKinds,
  };
}

/** One line about a load, for people. */
export function loadText(result: LoadResult): string {
  const { sent, answered, errors, faultsMadeUp, p50Ms, p90Ms, p99Ms, maxMs } = result;
  const ms = (value: number): string => value.toFixed(1);
  return (
    `${sent} requests sent, ${answered} answered, ${errors} errors, ` +
    `${faultsMadeUp} failures made up by the shop; latency from due time in ms: ` +
    `p50 ${ms(p50Ms)}, p90 ${ms(p90Ms)}, p99 ${ms(p99Ms)}, max ${ms(maxMs)}`
  );
}

const HELP = `
Usage: node demo/load.ts [--url URL] [--rate N] [--seconds N] [--seed N] [--json] [--check]

Sends the shop's mix of requests to a gateway at a fixed rate; without --seconds until Ctrl-C.
--check says what would be sent and opens nothing.
Defaults: --url http://127.0.0.1:8080 --rate 20 --seed 1
`;

async function main(args: string[]): Promise<void> {
  const { values } = parseArgs({
    args,
    options: {
      url: { type: 'string', default: 'http://127.0.0.1:8080' },
      rate: { type: 'string', default: '20' },
      seconds: { type: 'string' },
      seed: { type: 'string', default: '1' },
      json: { type: 'boolean', default: false },
      check: { type: 'boolean', default: false },
      help: { type: 'boolean', short: 'h', default: false },
    },
  });
  const ratePerS = Number(values.rate);
  const seconds = values.seconds === undefined ? undefined : Number(values.seconds);
  if (
    values.help ||
    !URL.canParse(values.url) ||
    !(ratePerS > 0) ||
    (seconds !== undefined && !(seconds > 0))
  ) {
    (values.help ? process.stdout : process.stderr).write(HELP.trimStart());
    process.exitCode = values.help ? 0 : 64;
    return;
  }
  if (values.check) {
    process.stdout.write(`ok: load of ${ratePerS} requests/s on ${new URL(values.url).href}\n`);
    return;
  }
  const stop = new AbortController();
  process.once('SIGINT', () => stop.abort());
  process.once('SIGTERM', () => stop.abort());
  const result = await runLoad({
    url: values.url,
    ratePerS,
    count: seconds === undefined ? undefined : Math.max(1, Math.round(seconds * ratePerS)),
    seed: Number(values.seed),
    signal: stop.signal,
  });
  const { errorKinds, ...figures } = result;
  process.stdout.write(
    (values.json ? JSON.stringify(figures) : loadText(result)) +
      '\n' +
      [...errorKinds].map(([kind, times]) => `  ${times} x ${kind}\n`).join(''),
  );
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await main(process.argv.slice(2));
