/**
 * The door to ClickHouse, for every process of ours: the official HTTP client behind the few verbs
 * that Azimuth uses. The embedded store speaks the same interface, so there is no second path.
 *
 * Every failure is an AzimuthError that says whether trying again can help: AZ_STORE_UNAVAILABLE
 * (connection, deadline, overload) or AZ_STORE_REFUSED (the statement or the block is wrong). It
 * never retries by itself: whoever holds the rows decides that.
 */
import {
  ClickHouseError,
  ClickHouseLogLevel,
  createClient,
  parseError,
  type ClickHouseSettings,
  type DataFormat,
} from '@clickhouse/client';
import { Readable } from 'node:stream';
import { text as consumeText } from 'node:stream/consumers';
import { AzimuthError, messageOf } from '../runtime/errors.ts';
import { readTlsFiles, type TlsPaths } from '../runtime/tls-files.ts';

export interface StoreClientSettings {
  /** `http://host:port`. */
  readonly url: string;
  /** Database of unqualified names; it need not exist before the first migration. */
  readonly database: string;
  readonly user: string;
  readonly password: string;
  /** For an https url: paths of PEM files. The server's certificate is always verified. */
  readonly tls?: (Pick<TlsPaths, 'cert' | 'key'> & { readonly ca: string }) | undefined;
  /** A request that takes longer fails with AZ_STORE_UNAVAILABLE. Default 60,000. */
  readonly requestTimeoutMs?: number;
  /** Gzip answers; worth it over a network, not on one host. Default false. */
  readonly compression?: boolean;
}

/** Values of `{name:Type}` placeholders; ClickHouse does the quoting. */
type QueryParams = Readonly<Record<string, unknown>>;

export interface StoreClient {
  readonly database: string;
  /**
   * Rows of a SELECT as objects. 64-bit integers come as numbers and lose precision above 2^53:
   * write toString(column) for a timestamp in nanoseconds.
   */
  query<Row>(sql: string, params?: QueryParams, settings?: ClickHouseSettings): Promise<Row[]>;
  /** The answer as text in a ClickHouse format; a FORMAT clause in the SQL wins over `format`. */
  text(sql: string, params?: QueryParams, format?: string): Promise<string>;
  /** The answer's bytes as they arrive, in the format that the SQL names: for more than fits into memory. */
  stream(sql: string, params?: QueryParams): AsyncIterable<Buffer>;
  /** A statement without rows in the answer (DDL). */
  command(sql: string, params?: QueryParams): Promise<void>;
  /**
   * Stores one Native block in one INSERT. Resolves when ClickHouse confirmed all of it.
   * `table`: `name`, `database.name`, or with a column list behind it. `token` makes a repeated
   * insert of the same block a no-op (insert_deduplication_token).
   */
  insertNative(
    table: string,
    block: Uint8Array,
    options?: { readonly token?: string },
  ): Promise<void>;
  /** A client of its own for another default database: for work before ours exists. */
  inDatabase(database: string): StoreClient;
  /** True when the store answers and takes our user and password; never throws. */
  ping(): Promise<boolean>;
  /** Ends open connections; safe to call twice. */
  close(): Promise<void>;
}

/**
 * ClickHouse codes after which the same request may succeed: end of file in a read from the
 * network (3), function not yet there while tables load (107 is a file that a merge removed),
 * timeouts (159, 164 readonly while starting, 209, 210 network), overload (202, 203, 241 memory,
 * 242 readonly table, 243 disk full, 252 too many parts, 285 quorum, 319 unknown status of insert,
 * 425 system error, 999 Keeper).
 */
const PASSING_CODES: ReadonlySet<string> = new Set(
  [3, 107, 159, 164, 202, 203, 209, 210, 241, 242, 243, 252, 285, 319, 425, 999].map(String),
);

/**
 * Opens no connection before the first call.
 * @throws AzimuthError AZ_CONFIG_INVALID when a file of `tls` cannot be read.
 */
export function createStoreClient(settings: StoreClientSettings): StoreClient {
  const client = createClient({
    url: settings.url,
    username: settings.user,
    password: settings.password,
    ...(settings.tls === undefined ? {} : { tls: tlsOf(settings.tls) }),
    database: settings.database,
    request_timeout: settings.requestTimeoutMs ?? 60_000,
    application: 'azimuth',
    // It would print every failed statement; the caller knows what a failure means.
    log: { level: ClickHouseLogLevel.OFF },
    compression: { response: settings.compression ?? false, request: false },
    // Below every server's keep-alive (ClickHouse 10 s, ours 10 s), so that we never write into a
    // connection that the other side is just closing.
    keep_alive: { enabled: true, idle_socket_ttl: 2_500 },
    clickhouse_settings: { output_format_json_quote_64bit_integers: 0 },
  });
  const where = new URL(settings.url).host;
  const run = async <T>(work: () => Promise<T>): Promise<T> => {
    try {
      return await work();
    } catch (error) {
      throw storeError(error, where);
    }
  };
  return {
    database: settings.database,
    query: <Row>(sql: string, params?: QueryParams, clickhouseSettings?: ClickHouseSettings) =>
      run(async () => {
        const result = await client.query({
          query: sql,
          format: 'JSONEachRow',
          ...(params === undefined ? {} : { query_params: params }),
          ...(clickhouseSettings === undefined ? {} : { clickhouse_settings: clickhouseSettings }),
        });
        return result.json<Row>();
      }),
    text: (sql, params, format) =>
      run(async () => {
        const answerFormat: ClickHouseSettings = {};
        // Any name: the store knows formats that the client's type does not list.
        if (format !== undefined) answerFormat.default_format = format as DataFormat;
        const result = await client.exec({
          query: sql,
          clickhouse_settings: answerFormat,
          ...(params === undefined ? {} : { query_params: params }),
        });
        return consumeText(result.stream);
      }),
    async *stream(sql, params) {
      const { stream } = await run(() =>
        client.exec({ query: sql, ...(params === undefined ? {} : { query_params: params }) }),
      );
      try {
        for await (const piece of stream) yield piece as Buffer;
      } catch (error) {
        throw storeError(error, where);
      }
    },
    command: (sql, params) =>
      run(async () => {
        await client.command({
          query: sql,
          ...(params === undefined ? {} : { query_params: params }),
        });
      }),
    insertNative: (table, block, options) =>
      run(async () => {
        // exec and not insert: the client's insert refuses binary formats.
        const result = await client.exec({
          query: `INSERT INTO ${table} FORMAT Native`,
          values: Readable.from([block], { objectMode: false }),
          ...(options?.token === undefined
            ? {}
            : {
                clickhouse_settings: {
                  insert_deduplication_token: options.token,
                  insert_deduplicate: 1,
                },
              }),
        });
        // An INSERT answers nothing. A server that fails after it sent its headers, because the answer
        // was late, has only the body left to say so: what stands there is an exception, not a row.
        const answer = await consumeText(result.stream);
        if (answer.trim() !== '') throw parseError(answer);
      }),
    inDatabase: (database) => createStoreClient({ ...settings, database }),
    async ping() {
      const answer = await client.ping({ select: true });
      return answer.success;
    },
    close: () => client.close(),
  };
}

/** TLS as the client wants it. */
function tlsOf(paths: NonNullable<StoreClientSettings['tls']>): {
  ca_cert: Buffer;
  cert?: Buffer;
  key?: Buffer;
} {
  const { ca, cert, key } = readTlsFiles(paths);
  return {
    ca_cert: ca!,
    ...(cert === undefined ? {} : { cert }),
    ...(key === undefined ? {} : { key }),
  };
}

function storeError(error: unknown, where: string): AzimuthError {
  if (error instanceof AzimuthError) return error;
  if (error instanceof ClickHouseError) {
    const name = error.type === undefined ? '' : ` ${error.type}`;
    return new AzimuthError(
      PASSING_CODES.has(error.code) ? 'AZ_STORE_UNAVAILABLE' : 'AZ_STORE_REFUSED',
      `ClickHouse at ${where} answered code ${error.code}${name}: ${error.message.trim()}`,
      { cause: error },
    );
  }
  // Everything else came from the connection: refused, reset, timed out, or an answer that is not
  // ClickHouse's (a proxy's 502). Sending again is right for each.
  return new AzimuthError(
    'AZ_STORE_UNAVAILABLE',
    `ClickHouse at ${where} cannot be reached: ${messageOf(error)}`,
    { cause: error },
  );
}
