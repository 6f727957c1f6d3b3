/**
 * Node's own parser (llhttp, strict) as a reader of bytes: a real node:http server or client over a
 * pair of streams in memory. What it made of the bytes comes back as messages.
 */
import http from 'node:http';
import { duplexPair, type Duplex } from 'node:stream';
import {
  pairsOf,
  type ReadEnd,
  type ReadRequest,
  type ReadRequests,
  type ReadResponse,
} from './messages.ts';

/** Above every limit of the proxy, so that its limits are what is tested. */
const HEAD_BYTES_MAX = 1_048_576;

const NO_HOST = 'no Host';
/** Node read nothing behind a request that asked for an upgrade: it has no opinion about the rest. */
export const UPGRADE = 'upgrade';

/** A node:http server that reads without judging: every request gets to `onRequest` with its body. */
export function strictServer(
  onRequest: (
    request: ReadRequest,
    message: http.IncomingMessage,
    reply: http.ServerResponse,
  ) => void,
): http.Server {
  const server = http.createServer(
    {
      insecureHTTPParser: false,
      maxHeaderSize: HEAD_BYTES_MAX,
      keepAliveTimeout: 0,
      requireHostHeader: false,
      requestTimeout: 0,
      headersTimeout: 0,
      connectionsCheckingInterval: 2 ** 30,
    },
    (message, reply) => read(message, reply),
  );
  const read = (message: http.IncomingMessage, reply: http.ServerResponse): void => {
    const body: Buffer[] = [];
    message.on('error', () => undefined);
    reply.on('error', () => undefined);
    message.on('data', (bytes: Buffer) => body.push(bytes));
    message.on('end', () =>
      onRequest(requestOf(message, Buffer.concat(body).toString('latin1')), message, reply),
    );
  };
  server.maxHeadersCount = 0;
  server.maxRequestsPerSocket = 0;
  server.on('checkContinue', (message, reply) => {
    reply.writeContinue();
    read(message, reply);
  });
  server.on('checkExpectation', read);
  return server;
}

const requestOf = (message: http.IncomingMessage, body: string): ReadRequest => ({
  method: message.method!,
  target: message.url!,
  version: message.httpVersion,
  headers: pairsOf(message.rawHeaders),
  body,
  trailers: pairsOf(message.rawTrailers),
});

/** What Node reads as a server from these bytes, which the end of the connection follows. */
export function nodeRequests(data: string): Promise<ReadRequests> {
  const messages: ReadRequest[] = [];
  let end: ReadEnd = 'clean';
  let why = '';
  let open = 0;
  let connect: ReadRequest | undefined;
  const server = strictServer((request, message, reply) => {
    open--;
    if (why === NO_HOST) return;
    // As node:http does by itself, which then would read on.
    if (request.version === '1.1' && message.headers.host === undefined) {
      end = 'refused';
      why = NO_HOST;
      message.socket.destroy();
      return;
    }
    messages.push(request);
    reply.end();
  });
  server.on('request', () => open++);
  server.on('checkContinue', () => open++);
  server.on('checkExpectation', () => open++);
  // CONNECT hands the connection over: there is no further request on it.
  server.on('connect', (message: http.IncomingMessage, socket: Duplex) => {
    end = 'closed';
    connect = requestOf(message, '');
    later(() => socket.destroy());
  });
  server.on('clientError', (error: NodeJS.ErrnoException, socket: Duplex) => {
    why = error.code ?? error.message;
    if (why === 'HPE_CLOSED_CONNECTION') end = 'closed';
    else end = why === 'HPE_INVALID_EOF_STATE' || why === 'ECONNRESET' ? 'incomplete' : 'refused';
    later(() => socket.destroy());
  });
  Object.assign(server, { httpAllowHalfOpen: true });
  const [ours, theirs] = duplexPair();
  return new Promise((resolve) => {
    theirs.on('close', () => {
      if (connect !== undefined) messages.push(connect);
      if (end === 'clean' && open > 0) end = 'incomplete';
      // llhttp stops at an upgrade, taken or not: what follows is not read by anybody.
      const last = messages.at(-1);
      if (end === 'clean' && last?.headers.some(([name]) => name.toLowerCase() === 'upgrade')) {
        end = 'closed';
        why = UPGRADE;
      }
      server.close();
      resolve({ messages, partial: null, end, why });
    });
    ours.on('error', () => undefined);
    ours.resume();
    server.emit('connection', theirs);
    ours.end(Buffer.from(data, 'latin1'));
  });
}

/** Requests that were read before are still on their way to their listeners. */
const later = (act: () => void): void => void setImmediate(() => setImmediate(act));

export interface NodeResponse {
  /** Undefined when the bytes hold no complete final message. */
  readonly message: ReadResponse | undefined;
  readonly why: string;
}

/** What Node reads as a client that asked with `method`; the end of the connection follows. */
export function nodeResponse(data: string, method: string): Promise<NodeResponse> {
  const [ours, theirs] = duplexPair();
  const interims: { status: number; headers: ReturnType<typeof pairsOf> }[] = [];
  return new Promise((resolve) => {
    const settle = (message: ReadResponse | undefined, why: string): void => {
      ours.destroy();
      theirs.destroy();
      resolve({ message, why });
    };
    const request = http.request({
      method,
      createConnection: () => theirs,
      maxHeaderSize: HEAD_BYTES_MAX,
      headers: { host: 'a' },
    });
    request.maxHeadersCount = 0;
    request.on('information', ({ statusCode, rawHeaders }) =>
      interims.push({ status: statusCode, headers: pairsOf(rawHeaders) }),
    );
    request.on('upgrade', (message) => settle(undefined, `upgrade ${message.statusCode}`));
    request.on('connect', () => settle(undefined, 'connect'));
    request.on('error', (error: NodeJS.ErrnoException) =>
      settle(undefined, error.code ?? error.message),
    );
    request.on('response', (message) => {
      const body: Buffer[] = [];
      message.on('data', (bytes: Buffer) => body.push(bytes));
      message.on('error', (error: NodeJS.ErrnoException) =>
        settle(undefined, error.code ?? error.message),
      );
      message.on('aborted', () => settle(undefined, 'aborted'));
      message.on('end', () =>
        settle(
          {
            status: message.statusCode!,
            version: message.httpVersion,
            reason: message.statusMessage!,
            interims,
            headers: pairsOf(message.rawHeaders),
            body: Buffer.concat(body).toString('latin1'),
            trailers: pairsOf(message.rawTrailers),
          },
          '',
        ),
      );
    });
    ours.on('error', () => undefined);
    ours.resume();
    request.end();
    // In a turn of its own: an answer before the request would be an error of its own.
    setImmediate(() => ours.end(Buffer.from(data, 'latin1')));
  });
}
