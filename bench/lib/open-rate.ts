/**
 * Load at a fixed rate that does not wait for answers (an open loop): every millisecond it sends as
 * many requests as are due by then, each on a connection that is free. Latency counts from the instant
 * at which the request was due, so that a proxy that stalls is charged for those whom it keeps
 * waiting. The generator's own lateness is in it too, the same for every proxy; it stands beside it.
 * Exactly rate x seconds requests.
 *
 * Arguments: port connections per-second seconds. Prints one JSON line; milliseconds.
 */
import net from 'node:net';
import { AnswerReader, isSuccess, requestBytes } from './answers.ts';

const [port = '0', connections = '64', rate = '1000', duration = '1'] = process.argv.slice(2);
const REQUEST = requestBytes(Number(port));
const perMs = Number(rate) / 1000;
const limit = Math.round(Number(rate) * Number(duration));
const latenciesMs = new Float64Array(limit);
/** How late each request could first be sent, through no fault of the proxy. */
const latenessMs = new Float64Array(limit);
const idle: ((sinceMs: number) => void)[] = [];
/** When those that found no free connection were due. */
const waiting: number[] = [];
let due = 0;
let answered = 0;
let errors = 0;
let startMs = 0;
const sockets = new Set<net.Socket>();

function finish(): void {
  for (const socket of sockets) socket.destroy();
  const seconds = (performance.now() - startMs) / 1000;
  const p50Ms = quantile(latenciesMs, 0.5);
  const p99Ms = quantile(latenciesMs, 0.99);
  const lateP99Ms = quantile(latenessMs, 0.99);
  console.log(JSON.stringify({ requests: answered, errors, seconds, p50Ms, p99Ms, lateP99Ms }));
}

function quantile(values: Float64Array, q: number): number {
  return values.sort()[Math.min(limit - 1, Math.floor(q * limit))] ?? 0;
}

function tick(): void {
  const nowMs = performance.now();
  const dueNow = Math.min(limit, Math.floor((nowMs - startMs) * perMs));
  for (; due < dueNow; due++) {
    const dueMs = startMs + (due + 1) / perMs;
    latenessMs[due] = nowMs - dueMs;
    // The one that waited longest, so that none is idle for so long that the proxy closes it.
    const send = idle.shift();
    if (send === undefined) waiting.push(dueMs);
    else send(dueMs);
  }
  if (due < limit) setTimeout(tick, 1);
}

let open = 0;
for (let i = 0; i < Number(connections); i++) {
  const socket = net.connect({ host: '127.0.0.1', port: Number(port), noDelay: true });
  const reader = new AnswerReader();
  sockets.add(socket);
  let sinceMs = 0;
  const send = (fromMs: number): void => {
    sinceMs = fromMs;
    socket.write(REQUEST);
  };
  socket.on('connect', () => {
    idle.push(send);
    if (++open < Number(connections)) return;
    startMs = performance.now();
    tick();
  });
  socket.on('data', (data) => {
    if (!reader.complete(data)) return;
    if (!isSuccess(data)) errors++;
    latenciesMs[answered++] = performance.now() - sinceMs;
    if (answered === limit) {
      finish();
      return;
    }
    const since = waiting.shift();
    if (since === undefined) idle.push(send);
    else send(since);
  });
  socket.on('error', (error) => {
    console.error(`load: ${error.message}`);
    process.exit(1);
  });
  socket.on('close', () => {
    if (answered === limit) return;
    console.error('load: the proxy closed a connection');
    process.exit(1);
  });
}
