/**
 * Load for the proxy benchmark where h2load is not to be had: `connections` keep-alive connections,
 * each with one request out at a time, until exactly `requests` answers are in. Its own process, so
 * that its CPU is not the proxy's.
 *
 * Arguments: port connections requests headers-as-JSON. Prints one JSON line.
 */
import net from 'node:net';
import { AnswerReader, isSuccess, requestBytes } from './answers.ts';
import type { Headers } from './load.ts';

const [port = '0', connections = '64', total = '10000', headers = '{}'] = process.argv.slice(2);
const REQUEST = requestBytes(Number(port), JSON.parse(headers) as Headers);
const limit = Number(total);
let started = 0;
let answered = 0;
let errors = 0;
const sockets = new Set<net.Socket>();
const startMs = performance.now();

function finish(): void {
  for (const socket of sockets) socket.destroy();
  const seconds = (performance.now() - startMs) / 1000;
  console.log(JSON.stringify({ requests: answered, errors, seconds }));
}

function connect(): void {
  const socket = net.connect({ host: '127.0.0.1', port: Number(port), noDelay: true });
  const reader = new AnswerReader();
  sockets.add(socket);
  const next = (): void => {
    if (started >= limit) {
      socket.end();
      return;
    }
    started++;
    socket.write(REQUEST);
  };
  socket.on('connect', next);
  socket.on('data', (data) => {
    if (!reader.complete(data)) return;
    if (!isSuccess(data)) errors++;
    if (++answered === limit) finish();
    else next();
  });
  socket.on('error', (error) => {
    console.error(`load: ${error.message}`);
    process.exit(1);
  });
}
for (let i = 0; i < Number(connections); i++) connect();
