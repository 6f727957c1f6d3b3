/**
 * What an HTTP request asks of the ClickHouse interface, apart from its SQL: settings, parameters,
 * formats, ids, encodings. What we do not speak is refused here with an error that says so; nothing
 * that changes the answer is ever ignored.
 */
import type { IncomingHttpHeaders } from 'node:http';
import { randomUUID } from 'node:crypto';
import { ClickHouseFault } from './clickhouse-fault.ts';
import { checkRevision } from './native-revision.ts';
import { checkSetting } from './statement.ts';

export interface StoreRequest {
  /** SQL of the URL; the body follows it. Undefined: all is in the body. */
  readonly query: string | undefined;
  /** As asked for, else made up. */
  readonly queryId: string;
  readonly database: string | undefined;
  /** Output format without a FORMAT clause. */
  readonly defaultFormat: string;
  /** Settings in order of the URL. */
  readonly settings: readonly (readonly [name: string, value: string])[];
  /** Values of `{name:Type}`, escaped as in a TSV cell. */
  readonly params: readonly (readonly [name: string, value: string])[];
  /** How the request's body is encoded; undefined = plainly. */
  readonly bodyEncoding: BodyEncoding | undefined;
  /** How the answer may be encoded; undefined = plainly. */
  readonly answerEncoding: BodyEncoding | undefined;
  /** Whether the request's body comes in frames of ClickHouse's own compression. */
  readonly bodyFramed: boolean;
  /** Whether the answer is to go in such frames. */
  readonly answerFramed: boolean;
  /** Of the reader of Native answers; 0 = none was named. */
  readonly revision: number;
  /** Only when all of it is known (wait_end_of_query): never half an answer with status 200. */
  readonly waitForEnd: boolean;
  /** Text put into log_comment by the client; shows in system.processes. */
  readonly logComment: string;
}

export type BodyEncoding = 'gzip' | 'deflate' | 'br' | 'zstd';
const ENCODINGS: readonly BodyEncoding[] = ['zstd', 'gzip', 'deflate', 'br'];

/** Parameters of the interface itself, which are no settings of the engine. */
const READ_ELSEWHERE = new Set(
  (
    'query query_id database default_format user password wait_end_of_query buffer_size ' +
    'enable_http_compression http_zlib_compression_level quota_key stacktrace log_comment ' +
    'compress decompress client_protocol_version session_id session_timeout session_check ' +
    'close_session role'
  ).split(' '),
);

/** Throws ClickHouseFault for what cannot be done; see the header of this file. */
export function readRequest(url: URL, headers: IncomingHttpHeaders): StoreRequest {
  const all = url.searchParams;
  refuseUnspoken(all, headers);
  const settings: [string, string][] = [];
  const params: [string, string][] = [];
  for (const [name, value] of all) {
    if (name.startsWith('param_')) {
      const param = name.slice('param_'.length);
      if (!/^[A-Za-z_][A-Za-z0-9_]*$/.test(param)) {
        throw new ClickHouseFault(36, `"${param}" is not a name of a query parameter`);
      }
      params.push([param, value]);
    } else if (!READ_ELSEWHERE.has(name)) {
      checkSetting(name, value);
      settings.push([name, value]);
    }
  }
  const defaultFormat =
    all.get('default_format') ?? singleHeader(headers, 'x-clickhouse-format') ?? 'TabSeparated';
  if (!/^[A-Za-z][A-Za-z0-9]*$/.test(defaultFormat)) {
    throw new ClickHouseFault(36, `"${defaultFormat}" is not a name of a format`);
  }
  return {
    query: all.get('query') ?? undefined,
    queryId: (all.get('query_id') ?? '') === '' ? randomUUID() : all.get('query_id')!.slice(0, 200),
    database: all.get('database') ?? singleHeader(headers, 'x-clickhouse-database'),
    defaultFormat,
    settings,
    params,
    bodyEncoding: bodyEncoding(headers),
    answerEncoding: isOn(all, 'enable_http_compression')
      ? ENCODINGS.find((encoding) => accepted(headers).has(encoding))
      : undefined,
    bodyFramed: isOn(all, 'decompress'),
    answerFramed: wantsFrames(url),
    revision: checkRevision(all.get('client_protocol_version') ?? ''),
    waitForEnd: isOn(all, 'wait_end_of_query'),
    logComment: all.get('log_comment') ?? '',
  };
}

const isOn = (all: URLSearchParams, name: string): boolean => {
  const value = all.get(name);
  return value !== null && value !== '' && value !== '0' && value !== 'false';
};

/** Whether even an error is to be answered in frames. Never throws. */
export const wantsFrames = (url: URL): boolean => isOn(url.searchParams, 'compress');

function singleHeader(headers: IncomingHttpHeaders, name: string): string | undefined {
  const value = headers[name];
  return typeof value === 'string' && value !== '' ? value : undefined;
}

function accepted(headers: IncomingHttpHeaders): Set<string> {
  const listed = singleHeader(headers, 'accept-encoding') ?? '';
  return new Set(
    listed
      .split(',')
      .filter((part) => !/;\s*q=0(\.0*)?\s*$/.test(part))
      .map((part) => part.split(';')[0]!.trim().toLowerCase()),
  );
}

function bodyEncoding(headers: IncomingHttpHeaders): BodyEncoding | undefined {
  const name = singleHeader(headers, 'content-encoding')?.trim().toLowerCase();
  if (name === undefined || name === 'identity') return undefined;
  const known = ENCODINGS.find((encoding) => encoding === name);
  if (known !== undefined) return known;
  throw new ClickHouseFault(
    48,
    `Content-Encoding "${name}" is not supported by the embedded store: ` +
      'send gzip, deflate, br, zstd, or plain bytes (clickhouse-connect: compress=False)',
    { status: 415 },
  );
}

function refuseUnspoken(all: URLSearchParams, headers: IncomingHttpHeaders): void {
  const refuse = (what: string, instead: string): never => {
    throw new ClickHouseFault(48, `${what} is not supported by the embedded store: ${instead}`);
  };
  if ((all.get('session_id') ?? '') !== '') {
    refuse(
      'session_id',
      'each request is a session of its own (clickhouse-connect: autogenerate_session_id=False)',
    );
  }
  if (all.has('role')) refuse('role', 'the store has one user, of the mesh file');
  if ((singleHeader(headers, 'content-type') ?? '').toLowerCase().startsWith('multipart/')) {
    refuse('a multipart body', 'send parameters as param_name in the URL');
  }
}

/** A literal of ClickHouse SQL. */
export const literal = (value: string): string =>
  `'${value.replaceAll('\\', '\\\\').replaceAll("'", "\\'")}'`;

/** A quoted name of ClickHouse SQL. */
export const quotedName = (name: string): string =>
  '`' + name.replaceAll('\\', '\\\\').replaceAll('`', '\\`') + '`';
