/**
 * A store as the benchmark needs one, for our collector and for a stock one alike: speaks as much of
 * ClickHouse's HTTP interface as both ask for, and then
 *
 *   swallow            drops the rows and says yes, at once
 *   swallow, throttled says yes so late that only so many rows a second get through
 *   forward            hands statements and rows on to a real store
 *
 * One JSON line on stdout for each insert that was confirmed: rows, when it came, when it was done.
 * Argument: FrontSettings as JSON. First line: {port}.
 */
import { createServer, request, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';

export interface FrontSettings {
  /** Most rows a second; absent: as many as come. */
  readonly rowsPerSecond?: number;
  /** A store to hand everything on to. */
  readonly forward?: { readonly port: number; readonly user: string; readonly password: string };
}

/** One insert of spans that was confirmed. Times in Unix milliseconds. */
export interface InsertLine {
  readonly rows: number;
  readonly beganMs: number;
  readonly doneMs: number;
}

/** Columns of the exporter's table by type: it asks for them before each insert, and writes by them. */
const EXPORTER_COLUMNS = Object.entries({
  Timestamp: 'DateTime64(9)',
  TraceId: 'String',
  SpanId: 'String',
  ParentSpanId: 'String',
  TraceState: 'String',
  SpanName: 'LowCardinality(String)',
  SpanKind: 'LowCardinality(String)',
  ServiceName: 'LowCardinality(String)',
  ResourceAttributes: 'Map(LowCardinality(String), String)',
  ScopeName: 'String',
  ScopeVersion: 'String',
  SpanAttributes: 'Map(LowCardinality(String), String)',
  Duration: 'UInt64',
  StatusCode: 'LowCardinality(String)',
  StatusMessage: 'String',
  'Events.Timestamp': 'Array(DateTime64(9))',
  'Events.Name': 'Array(LowCardinality(String))',
  'Events.Attributes': 'Array(Map(LowCardinality(String), String))',
  'Links.TraceId': 'Array(String)',
  'Links.SpanId': 'Array(String)',
  'Links.TraceState': 'Array(String)',
  'Links.Attributes': 'Array(Map(LowCardinality(String), String))',
});

const varint = (value: number): Buffer => {
  const bytes: number[] = [];
  let rest = value;
  for (; rest > 127; rest >>>= 7) bytes.push((rest & 127) | 128);
  bytes.push(rest);
  return Buffer.from(bytes);
};
const textBytes = (text: string): Buffer => Buffer.concat([varint(text.length), Buffer.from(text)]);

/** A Native block at revision 54460, which the Go client asks for: block info, and a 0 after each type. */
function block(rows: number, columns: readonly (readonly [string, string, Buffer])[]): Buffer {
  const parts = [
    Buffer.from([1, 0, 2, 255, 255, 255, 255, 0]),
    varint(columns.length),
    varint(rows),
  ];
  for (const [name, type, data] of columns)
    parts.push(textBytes(name), textBytes(type), Buffer.from([0]), data);
  return Buffer.concat(parts);
}

const revision = Buffer.alloc(4);
revision.writeUInt32LE(54_460);
const HELLO = block(1, [
  ['displayName()', 'String', textBytes('bench')],
  ['version()', 'String', textBytes('26.7.2.1')],
  ['revision()', 'UInt32', revision],
  ['timezone()', 'String', textBytes('UTC')],
]);
const texts = (of: readonly string[]): Buffer => Buffer.concat(of.map(textBytes));
const NOTHING = texts(EXPORTER_COLUMNS.map(() => ''));
const DESCRIBED = block(EXPORTER_COLUMNS.length, [
  ['name', 'String', texts(EXPORTER_COLUMNS.map(([name]) => name))],
  ['type', 'String', texts(EXPORTER_COLUMNS.map(([, type]) => type))],
  ['default_type', 'String', NOTHING],
  ['default_expression', 'String', NOTHING],
  ['comment', 'String', NOTHING],
  ['codec_expression', 'String', NOTHING],
  ['ttl_expression', 'String', NOTHING],
]);

/** Rows of the Native block that begins with these bytes. */
function rowsOf(head: Buffer): number {
  let at = 0;
  const read = (): number => {
    let value = 0;
    for (let shift = 0; ; shift += 7) {
      const byte = head[at++] ?? 0;
      value |= (byte & 127) << shift;
      if (byte < 128) return value;
    }
  };
  read();
  return read();
}

const settings = JSON.parse(process.argv[2] ?? '{}') as FrontSettings;
/** When a throttled store has worked off all that it took. */
let busyUntilMs = 0;

/** Reads a body; all of it only when it is to be kept. */
async function readBody(req: IncomingMessage, keep: boolean): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of req as AsyncIterable<Buffer>)
    if (keep || chunks.length === 0) chunks.push(chunk);
  return Buffer.concat(chunks);
}

/** Hands a statement on; `rows` are the bytes of an insert. */
function forward(query: string, rows: Buffer, also: URLSearchParams): Promise<[number, Buffer]> {
  const { port, user, password } = settings.forward!;
  const passed = new URLSearchParams({ query });
  for (const [name, value] of also)
    // What only the Go client sends and the embedded store does not know.
    if (!['query', 'client_protocol_version', 'async_insert', 'default_format'].includes(name))
      passed.set(name, value);
  return new Promise((resolve, reject) => {
    const sent = request(
      {
        host: '127.0.0.1',
        port,
        method: 'POST',
        path: `/?${passed.toString()}`,
        auth: `${user}:${password}`,
      },
      (answer) => {
        const chunks: Buffer[] = [];
        answer.on('data', (chunk: Buffer) => chunks.push(chunk));
        answer.on('end', () => resolve([answer.statusCode ?? 502, Buffer.concat(chunks)]));
        answer.on('error', reject);
      },
    );
    sent.on('error', reject);
    sent.end(rows);
  });
}

async function answer(req: IncomingMessage, res: ServerResponse): Promise<void> {
  const beganMs = Date.now();
  const parameters = new URL(req.url ?? '/', 'http://front').searchParams;
  const inUrl = parameters.get('query') ?? '';
  const isInsert = /^\s*INSERT\s/i.test(inUrl);
  const body = await readBody(req, !isInsert || settings.forward !== undefined);
  if (!isInsert) {
    const statement = inUrl || body.toString();
    if (statement.startsWith('SELECT displayName()')) res.end(HELLO);
    else if (/^DESC/i.test(statement)) res.end(DESCRIBED);
    else if (settings.forward === undefined) res.end('1\n');
    else {
      const [status, text] = await forward(statement, Buffer.alloc(0), parameters);
      res.writeHead(status).end(text);
    }
    return;
  }
  const spans = /\b(spans|otel_traces)\b/.test(inUrl) ? rowsOf(body) : 0;
  if (settings.rowsPerSecond !== undefined) {
    busyUntilMs = Math.max(busyUntilMs, Date.now()) + (1000 * spans) / settings.rowsPerSecond;
    await sleep(busyUntilMs - Date.now());
  }
  if (settings.forward !== undefined) {
    const [status, text] = await forward(inUrl, body, parameters);
    if (status !== 200) {
      res.writeHead(status).end(text);
      return;
    }
  }
  const line: InsertLine = { rows: spans, beganMs, doneMs: Date.now() };
  if (spans > 0) process.stdout.write(`${JSON.stringify(line)}\n`);
  res.end();
}

const server = createServer((req, res) => {
  answer(req, res).catch((error: unknown) => {
    // The sender was killed amid its insert, or the store is gone: there is nobody to answer.
    if (!req.destroyed) process.stderr.write(`front: ${String(error)}\n`);
    res.destroy();
  });
});
server.keepAliveTimeout = 60_000;
server.listen(0, '127.0.0.1', () => {
  console.log(JSON.stringify({ port: (server.address() as AddressInfo).port }));
});
