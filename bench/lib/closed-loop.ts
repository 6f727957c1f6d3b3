/**
 * Load for the proxy benchmark: `connections` keep-alive connections, each with one request out at
 * a time, until exactly `requests` answers are in. Exact counts are what "spans delivered / due"
 * needs; so a run ends by count, not by time. Its own process, so that its CPU is not the proxy's.
 *
 * Arguments: host port connections requests. Prints one JSON line: requests, errors, seconds,
 * p50/p99 in milliseconds (closed loop: compare within one run, not with other tools).
 */
import net from 'node:net';

const [host = '127.0.0.1', port = '0', connections = '64', total = '10000'] = process.argv.slice(2);
const REQUEST = Buffer.from(
  `GET /bench/item HTTP/1.1\r\nHost: ${host}:${port}\r\nAccept: */*\r\n\r\n`,
  'latin1',
);
const limit = Number(total);
const latenciesMs = new Float64Array(limit);
let started = 0;
let answered = 0;
let errors = 0;
const sockets = new Set<net.Socket>();
const startMs = performance.now();

/** Bytes of the first answer in `buffer`, or 0 while it is not complete. */
function answerBytes(buffer: Buffer): number {
  const head = buffer.indexOf('\r\n\r\n');
  if (head < 0) return 0;
  // Whatever the case of `Content-Length`; no other field of these answers ends so.
  const at = buffer.indexOf('ength: ', 0, 'latin1');
  if (at < 0 || at > head) throw new Error('an answer without Content-Length');
  const length = Number(buffer.toString('latin1', at + 7, buffer.indexOf('\r', at)));
  const bytes = head + 4 + length;
  return buffer.length >= bytes ? bytes : 0;
}

function finish(): void {
  for (const socket of sockets) socket.destroy();
  const seconds = (performance.now() - startMs) / 1000;
  const sorted = latenciesMs.subarray(0, answered).sort();
  const at = (q: number): number => sorted[Math.min(answered - 1, Math.floor(q * answered))] ?? 0;
  console.log(
    JSON.stringify({ requests: answered, errors, seconds, p50_ms: at(0.5), p99_ms: at(0.99) }),
  );
}

function connect(): void {
  const socket = net.connect({ host, port: Number(port), noDelay: true });
  sockets.add(socket);
  let rest: Buffer | undefined;
  let sentMs = 0;
  const next = (): void => {
    if (started >= limit) {
      socket.end();
      return;
    }
    started++;
    sentMs = performance.now();
    socket.write(REQUEST);
  };
  socket.on('connect', next);
  socket.on('data', (data) => {
    const buffer = rest === undefined ? data : Buffer.concat([rest, data]);
    const bytes = answerBytes(buffer);
    rest = bytes === 0 ? buffer : undefined;
    if (bytes === 0) return;
    if (buffer[9] !== 50) errors++;
    latenciesMs[answered++] = performance.now() - sentMs;
    if (answered === limit) finish();
    else next();
  });
  socket.on('error', (error) => {
    console.error(`load: ${error.message}`);
    process.exit(1);
  });
}
for (let i = 0; i < Number(connections); i++) connect();
