/**
 * One service of the shop: `node demo/shop/service.ts NAME [--check]`, with PORT (and HOST) to listen
 * on and MESH_OUTBOUND, the URL of its sidecar's outbound listener. Knows nothing of the mesh but that:
 * it calls another service by name, as Host, through its own sidecar. `--check` opens nothing.
 */
import { Agent, createServer, request, type IncomingMessage, type ServerResponse } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { SHOP, type Call, type Operation } from './behaviour.ts';
import { drawsOf, FAULT_HEADER, lognormal, REQUEST_NUMBER_HEADER } from './seeded.ts';
import { inClientSpan, inServerSpan, startTracing } from './tracing.ts';

const name = process.argv[2] ?? '';
const operations = SHOP[name];
const outbound = process.env['MESH_OUTBOUND'];
const port = Number(process.env['PORT']);
if (
  operations === undefined ||
  outbound === undefined ||
  !Number.isInteger(port) ||
  !URL.canParse(outbound)
) {
  process.stderr.write(
    `usage: PORT=9101 MESH_OUTBOUND=http://127.0.0.1:15001 node demo/shop/service.ts NAME\n` +
      `NAME is one of: ${Object.keys(SHOP).join(', ')}\n`,
  );
  process.exit(64);
}
const seed = Number(process.env['SHOP_SEED'] ?? 1);
const host = process.env['HOST'] ?? '127.0.0.1';
if (process.argv.includes('--check')) {
  // As the commands of azimuth do: says what would run, opens nothing.
  process.stdout.write(`ok: ${name} on ${host}:${port}, calls through ${outbound}\n`);
  process.exit(0);
}
const sidecar = new URL(outbound);
/** Idle connections end before the sidecar would end them, so that no call meets a closing one. */
const IDLE_MS = 4_000;
/** Longer than the sidecar keeps idle connections to us, for the same reason. */
const KEEP_ALIVE_MS = 75_000;
/** Nobody sends the shop more. */
const BODY_BYTES_MAX = 65_536;
/** A call that takes longer has failed. */
const CALL_TIMEOUT_MS = 10_000;

interface Reply {
  readonly status: number;
  /** True when the failure is one that the shop made up. */
  readonly madeUp: boolean;
}

const stopTracing = startTracing(name);
const agent = new Agent({ keepAlive: true, timeout: IDLE_MS });
const patterns = operations.map((operation) => ({
  operation,
  pattern: new RegExp(`^${operation.template.replaceAll(/\{[a-z]+\}/g, '([^/]+)')}$`),
}));

const server = createServer((req, res) => {
  serve(req, res).catch((error: unknown) => {
    process.stderr.write(`${name}: ${String(error)}\n`);
    if (!res.headersSent) answer(res, { status: 500, madeUp: false }, 0);
    else res.destroy();
  });
});
server.keepAliveTimeout = KEEP_ALIVE_MS;
server.listen(port, host);

async function serve(req: IncomingMessage, res: ServerResponse): Promise<void> {
  const path = (req.url ?? '/').split('?', 1)[0]!;
  if (path === '/healthz' || path === '/readyz') {
    answer(res, { status: 200, madeUp: false }, 0);
    return;
  }
  for (const { operation, pattern } of patterns) {
    const match = operation.method === req.method ? pattern.exec(path) : null;
    if (match === null) continue;
    await drain(req);
    const attributes = {
      'http.request.method': operation.method,
      'http.route': operation.template,
    };
    const spanName = `${operation.method} ${operation.template}`;
    await inServerSpan(spanName, req.headers, attributes, async () => {
      const number = String(req.headers[REQUEST_NUMBER_HEADER] ?? '0');
      const reply = await perform(operation, match.slice(1), number);
      answer(res, reply, operation.replyBytes);
      return reply.status;
    });
    return;
  }
  answer(res, { status: 404, madeUp: false }, 0);
}

async function perform(
  operation: Operation,
  params: readonly string[],
  number: string,
): Promise<Reply> {
  const draw = drawsOf(seed, name, operation.template, operation.method, number);
  const fails = draw() < operation.faultShare;
  await sleep(lognormal(draw, operation.medianMs, operation.sigma));
  if (fails) return { status: 503, madeUp: true };
  for (const stage of operation.stages?.(params) ?? []) {
    const replies = await Promise.all(stage.map((one) => call(one, number)));
    const failed = replies.find((reply) => reply.status >= 400);
    if (failed !== undefined) return { status: 502, madeUp: failed.madeUp };
  }
  return { status: 200, madeUp: false };
}

/** Calls another service through the sidecar. An answer that never comes is a failure. */
async function call({ to, method, path, body }: Call, number: string): Promise<Reply> {
  let madeUp = false;
  const attributes = { 'http.request.method': method, 'server.address': to, 'url.path': path };
  try {
    const status = await inClientSpan(method, attributes, async (headers) => {
      const response = await send(
        { to, method, path, ...(body === undefined ? {} : { body }) },
        { ...headers, [REQUEST_NUMBER_HEADER]: number },
      );
      madeUp = response.headers[FAULT_HEADER] !== undefined;
      await drain(response);
      return response.statusCode ?? 0;
    });
    return { status, madeUp };
  } catch (error) {
    process.stderr.write(`${name}: call to ${to} failed: ${String(error)}\n`);
    return { status: 504, madeUp: false };
  }
}

function send(
  { to, method, path, body }: Call,
  headers: Record<string, string>,
): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    const text = body === undefined ? undefined : JSON.stringify(body);
    const out = request({
      agent,
      host: sidecar.hostname,
      port: sidecar.port,
      method,
      path,
      headers: {
        ...headers,
        host: to,
        ...(text === undefined
          ? {}
          : { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text) }),
      },
      timeout: CALL_TIMEOUT_MS,
    });
    out.on('response', resolve);
    out.on('error', reject);
    out.on('timeout', () => out.destroy(new Error(`no answer within ${CALL_TIMEOUT_MS} ms`)));
    out.end(text);
  });
}

/** Reads a message to its end; what it says does not matter to the shop. */
async function drain(message: IncomingMessage): Promise<void> {
  let bytes = 0;
  for await (const chunk of message) {
    bytes += (chunk as Buffer).length;
    if (bytes > BODY_BYTES_MAX) throw new Error(`a message is larger than ${BODY_BYTES_MAX} bytes`);
  }
}

function answer(res: ServerResponse, { status, madeUp }: Reply, fillBytes: number): void {
  const text = JSON.stringify({ service: name, status, filling: 'x'.repeat(fillBytes) });
  res.writeHead(status, {
    'content-type': 'application/json',
    'content-length': Buffer.byteLength(text),
    ...(madeUp ? { [FAULT_HEADER]: 'made-up' } : {}),
  });
  res.end(text);
}

function stop(): void {
  server.close();
  server.closeIdleConnections();
  agent.destroy();
  void stopTracing()
    // A collector that is gone must not keep a service from ending.
    .catch(() => undefined)
    .finally(() => process.exit(0));
}
process.once('SIGTERM', stop);
process.once('SIGINT', stop);
