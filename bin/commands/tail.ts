/** `azimuth tail`: shows hops of one proxy as they finish, from its admin address (/hops). */
import { get, type IncomingMessage } from 'node:http';
import { parseArgs } from 'node:util';
import { AzimuthError, messageOf } from '../../runtime/errors.ts';
import type { Command } from '../command.ts';
import { meshFromArgs } from '../mesh-option.ts';
import { readEvents } from '../server-sent-events.ts';
import { TailText, type TailedHop } from '../tail-text.ts';

/** Where the admin address of a proxy is by default. */
const DEFAULT_ADMIN = 'http://127.0.0.1:15000';
/** Columns where nothing says how wide the output is. */
const WIDTH_WITHOUT_TERMINAL = 160;
const ANSWER_BYTES_MAX = 4_096;

export const command: Command = {
  help: `
Usage: azimuth tail [options]

Shows requests as a proxy finishes them, until Ctrl-C. Times are milliseconds: MS from the first
byte of the request to the last of the answer, OWN the proxy's own part of it, UPSTREAM that of its
attempts.

  --name NAME          proxy of the mesh file whose admin address is asked
  --admin URL          the admin address itself (default ${DEFAULT_ADMIN}, where no --name stands)
  --route TEMPLATE     only this route, as the mesh file spells it; may stand more than once
  --status 503 | 5xx   only these statuses; may stand more than once
  --slower-than TIME   only requests that took at least this long: 100ms, 1.5s, 250us
  --errors             only failures and answers of 500 and above
  --limit N            end after N requests
  --json               one JSON object a line, with every field
  --mesh FILE          which mesh file --name is looked up in

A terminal that is too slow for the traffic loses lines, and is told how many.

Examples:
  azimuth tail --name edge --errors
  azimuth tail --route '/products/{id}' --slower-than 100ms
  azimuth tail --json --limit 1000 | jq -s 'map(.own_ms) | add / length'
`,
  async run(args) {
    const { values } = parseArgs({
      args: [...args],
      options: {
        name: { type: 'string' },
        admin: { type: 'string' },
        mesh: { type: 'string' },
        route: { type: 'string', multiple: true, default: [] },
        status: { type: 'string', multiple: true, default: [] },
        'slower-than': { type: 'string' },
        errors: { type: 'boolean', default: false },
        limit: { type: 'string' },
        json: { type: 'boolean', default: false },
      },
    });
    const limit = values.limit === undefined ? Infinity : Number(values.limit);
    if (!(limit === Infinity || (Number.isSafeInteger(limit) && limit > 0))) {
      throw new AzimuthError('AZ_USAGE', `--limit ${String(values.limit)} is no count from 1 on`);
    }
    const url = new URL('/hops', adminUrl(values));
    for (const route of values.route) url.searchParams.append('route', route);
    for (const status of values.status) url.searchParams.append('status', status);
    const slowerThan = values['slower-than'];
    if (slowerThan !== undefined) url.searchParams.set('slower_than', slowerThan);
    if (values.errors) url.searchParams.set('errors', 'true');
    return follow(url, { json: values.json, limit });
  },
};

function adminUrl(values: {
  readonly name?: string | undefined;
  readonly admin?: string | undefined;
  readonly mesh?: string | undefined;
}): URL {
  if (values.admin !== undefined) {
    // A bare host:port is what people have at hand.
    const text = values.admin.includes('://') ? values.admin : `http://${values.admin}`;
    const url = URL.canParse(text) ? new URL(text) : undefined;
    if (url?.protocol === 'http:' && url.hostname !== '') return url;
    throw new AzimuthError(
      'AZ_USAGE',
      `--admin ${values.admin} is no address (write http://127.0.0.1:15000)`,
    );
  }
  if (values.name === undefined && values.mesh === undefined) return new URL(DEFAULT_ADMIN);
  const { config } = meshFromArgs(values);
  const proxies = [...config.gateways, ...config.sidecars];
  const named = values.name ?? (proxies.length === 1 ? proxies[0]?.name : undefined);
  const proxy = proxies.find(({ name }) => name === named);
  if (proxy === undefined) {
    const names = proxies.map(({ name }) => name).join(', ') || 'none';
    throw new AzimuthError('AZ_USAGE', `which proxy? Give --name NAME (there are: ${names})`);
  }
  const { host, port } = proxy.admin;
  // An address to listen on need not be one to connect to.
  const reachable = host === '0.0.0.0' ? '127.0.0.1' : host === '::' ? '::1' : host;
  return new URL(`http://${reachable.includes(':') ? `[${reachable}]` : reachable}:${port}`);
}

/** Shows what comes until Ctrl-C, the limit, or the end of the stream; resolves with the exit code. */
async function follow(
  url: URL,
  { json, limit }: { readonly json: boolean; readonly limit: number },
): Promise<number> {
  const response = await open(url);
  const { stdout, stderr } = process;
  const text = new TailText({
    columns: stdout.columns || WIDTH_WITHOUT_TERMINAL,
    colours: stdout.isTTY && (process.env['NO_COLOR'] ?? '') === '',
  });
  const ended = new AbortController();
  const end = (): void => {
    ended.abort();
    response.destroy();
  };
  process.once('SIGINT', end).once('SIGTERM', end);
  // Whoever reads our output, such as head(1), may have seen enough.
  stdout.on('error', end);
  if (!json) stdout.write(text.head() + '\n');
  let shown = 0;
  try {
    for await (const { event, data } of readEvents(response)) {
      if (event === 'left_out') {
        const { left_out: leftOut } = JSON.parse(data) as { left_out: number };
        stderr.write(`azimuth: ${leftOut} left out so far (too many to show)\n`);
        continue;
      }
      if (event !== 'hop') continue;
      const hop = JSON.parse(data) as TailedHop;
      const line = json ? data : text.hop(hop);
      // Slower than the stream: it is not read on meanwhile, and the proxy leaves out what is too much.
      if (!stdout.write(line + '\n')) await drained(stdout);
      if (++shown >= limit) end();
      if (ended.signal.aborted) break;
    }
  } catch (error) {
    if (!ended.signal.aborted) throw gone(url, messageOf(error));
  } finally {
    process.off('SIGINT', end).off('SIGTERM', end);
  }
  if (!ended.signal.aborted) throw gone(url, 'it ended the stream');
  return 0;
}

const gone = (url: URL, why: string): AzimuthError =>
  new AzimuthError('AZ_ADMIN_UNAVAILABLE', `the proxy at ${url.origin} is gone: ${why}`);

function drained(stream: NodeJS.WriteStream): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      stream.off('drain', done).off('error', done).off('close', done);
      resolve();
    };
    stream.on('drain', done).on('error', done).on('close', done);
  });
}

/** The stream, once its head is here. Throws AZ_ADMIN_UNAVAILABLE, or AZ_USAGE for a refused filter. */
async function open(url: URL): Promise<IncomingMessage> {
  const response = await new Promise<IncomingMessage>((resolve, reject) => {
    get(url, { headers: { accept: 'text/event-stream' }, agent: false }, resolve).on(
      'error',
      (error: NodeJS.ErrnoException) => {
        const why = error.code === 'ECONNREFUSED' ? 'nothing listens there' : messageOf(error);
        reject(
          new AzimuthError(
            'AZ_ADMIN_UNAVAILABLE',
            `no proxy answers at ${url.origin}: ${why}; is it running, and is this its admin ` +
              'address? Name it with --name NAME or --admin URL',
            { cause: error },
          ),
        );
      },
    );
  });
  const { statusCode, headers } = response;
  if (statusCode === 200 && (headers['content-type'] ?? '').startsWith('text/event-stream')) {
    return response;
  }
  let body = '';
  response.setEncoding('utf8');
  for await (const part of response) {
    body += part as string;
    if (body.length > ANSWER_BYTES_MAX) break;
  }
  response.destroy();
  const error = errorOf(body);
  if (statusCode === 400) throw new AzimuthError('AZ_USAGE', error);
  throw new AzimuthError(
    'AZ_ADMIN_UNAVAILABLE',
    `what answers at ${url.origin} does not show hops (status ${String(statusCode)}): ${error}`,
  );
}

function errorOf(body: string): string {
  try {
    const { error } = JSON.parse(body) as { error?: unknown };
    if (typeof error === 'string') return error;
  } catch {
    // Not ours: its first line says enough.
  }
  return body.split('\n')[0]!.slice(0, 200);
}
