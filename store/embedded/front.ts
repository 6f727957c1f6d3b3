/**
 * ClickHouse's HTTP interface over the embedded database: one request, one statement, one session.
 *
 *   request ─ auth ─ read ─ analyse ─┬ insert with rows ─ spool ─ permit ─ INSERT … FROM INFILE
 *                                    ├ select ─ permit ─ stream or whole answer
 *                                    └ other ─ permit ─ whole answer
 *
 * A request that could not be done ends with an error; a 200 means done. A reader that goes away
 * stops its query. No input ends the process.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { Readable } from 'node:stream';
import type { Log } from '../../runtime/log.ts';
import { sendFault, sendStream, sendWhole, type AnswerFacts } from './answer.ts';
import { credentialCheck } from './auth.ts';
import { bodyFault, decoded, readAll, readHead, SQL_BYTES_MAX } from './body.ts';
import { ClickHouseFault } from './clickhouse-fault.ts';
import type { Database, DatabaseSession } from './database.ts';
import { BUFFERED_BYTES_MAX, INSERTS_MAX, LIMITS, QUERIES_MAX } from './engine-config.ts';
import { createPermits } from './permits.ts';
import { literal, readRequest, wantsFrames, type StoreRequest } from './request.ts';
import type { Spool } from './spool.ts';
import { tokens } from './sql-tokens.ts';
import {
  analyseStatement,
  checkIdentifiers,
  checkValues,
  holdsExpressions,
  mayStream,
  type Statement,
  type StreamSource,
} from './statement.ts';

export interface FrontSettings {
  readonly database: Database;
  readonly spool: Spool;
  readonly user: string;
  readonly password: string;
  readonly log: Log;
  /** Why /readyz says no; undefined when ready. */
  readonly notReady: () => string | undefined;
  /** True from when the store is told to stop: whatever fails then is worth another try elsewhen. */
  readonly stopping: () => boolean;
}

/** Rows of VALUES are SQL and are checked as SQL, in memory. */
const VALUES_BYTES_MAX = 16 * 1024 * 1024;
/** Who waits for a permit: beyond this a request is refused with Retry-After. */
const WAITING_MAX = 256;
/** Silence on a connection, running statements included. */
const SILENCE_MS_MAX = (LIMITS.max_execution_time.most + 30) * 1000;
/** ClickHouse's own keep-alive. */
const KEEP_ALIVE_MS = 10_000;

interface Exchange {
  readonly req: IncomingMessage;
  readonly res: ServerResponse;
  readonly request: StoreRequest;
  /** Aborted when the reader goes before the answer ended. */
  readonly gone: AbortSignal;
}

/** The server is not listening: the supervisor hands it connections. */
export function createFront(settings: FrontSettings): Server {
  const { database, spool, log } = settings;
  const queries = createPermits('queries', QUERIES_MAX, WAITING_MAX);
  const inserts = createPermits('inserts', INSERTS_MAX, WAITING_MAX);
  const isUser = credentialCheck(settings.user, settings.password);

  const facts = (request: StoreRequest, format: string): AnswerFacts => ({
    queryId: request.queryId,
    format,
    timezone: database.timezone,
    encoding: request.answerEncoding,
    framed: request.answerFramed,
    revision: request.revision,
  });

  const withSession = async <T>(
    exchange: Exchange,
    reads: boolean,
    work: (session: DatabaseSession) => Promise<T>,
  ): Promise<T> => {
    const { request, gone } = exchange;
    const session = await database.openSession({
      database: request.database,
      params: request.params,
      settings: request.settings,
      reads,
      comment: `${request.queryId} ${request.logComment}`.trim(),
    });
    try {
      if (gone.aborted) throw gone.reason;
      return await work(session);
    } finally {
      session.close();
    }
  };

  /** Rows that came with the request, by file into the table. */
  const insertRows = async (
    exchange: Exchange,
    statement: Extract<Statement, { kind: 'insert_data' }>,
    first: Buffer,
    rest: Readable | undefined,
  ): Promise<void> => {
    const { request, res, gone } = exchange;
    checkIdentifiers(statement.identifiers, request.params);
    const startedMs = performance.now();
    let data = first;
    let more = rest;
    if (holdsExpressions(statement.format)) {
      data = await readAll(
        first,
        rest,
        VALUES_BYTES_MAX,
        'VALUES; use FORMAT JSONEachRow for more',
      );
      data = data.subarray(0, checkValues(data.toString('latin1'), 0));
      more = undefined;
    }
    const body = await spool.write(data, more);
    try {
      if (body.bytes === 0) {
        throw new ClickHouseFault(108, 'No data to insert: the body holds no rows');
      }
      const give = await inserts.take(gone);
      try {
        const outcome = await withSession(exchange, false, (session) =>
          session.run(
            `${bytesToText(statement.head)} FROM INFILE ${literal(body.path)} COMPRESSION 'none' ` +
              `${bytesToText(statement.settings)} FORMAT ${statement.format}`,
            'TSV',
          ),
        );
        await sendWhole(
          res,
          facts(request, request.defaultFormat),
          new Uint8Array(0),
          // No written_rows: the engine tells what it read from the file, and a block that it has
          // stored before is left out silently (deduplication).
          {
            read_rows: String(outcome.rows),
            read_bytes: String(body.bytes),
            elapsed_ns: elapsedNs(startedMs),
          },
        );
      } finally {
        give();
      }
    } finally {
      await body.remove();
    }
  };

  /** A table whose rows may be streamed: not a view, which may hold scalar subqueries. */
  const isPlainTable = async (session: DatabaseSession, source: StreamSource): Promise<boolean> => {
    const where =
      source.database === undefined ? 'currentDatabase()' : literal(bytesToText(source.database));
    const found = await session.run(
      `SELECT engine FROM system.tables WHERE database = ${where} ` +
        `AND name = ${literal(bytesToText(source.table))} AND engine LIKE '%MergeTree'`,
      'TSV',
    );
    return found.rows === 1;
  };

  const runStatement = async (
    exchange: Exchange,
    statement: Exclude<Statement, { kind: 'insert_data' }>,
  ): Promise<void> => {
    const { request, res, req, gone } = exchange;
    checkIdentifiers(statement.identifiers, request.params);
    const reads = statement.kind === 'select' || statement.readsOnly;
    if (req.method === 'GET' && !reads) {
      throw new ClickHouseFault(
        164,
        'Cannot execute query in readonly mode: GET only reads; use POST',
      );
    }
    const startedMs = performance.now();
    const give = await queries.take(gone);
    try {
      const format = statement.format ?? request.defaultFormat;
      const sql = bytesToText(statement.sql);
      await withSession(exchange, reads, async (session) => {
        const stop = (): void => {
          if (reads) session.kill();
        };
        gone.addEventListener('abort', stop, { once: true });
        const source =
          statement.kind === 'select' &&
          !request.waitForEnd &&
          // Frames and blocks are made anew: of a whole answer, not of pieces cut anywhere.
          !request.answerFramed &&
          request.revision === 0 &&
          mayStream(format, sql, request.settings)
            ? statement.streamFrom
            : undefined;
        if (source !== undefined && (await isPlainTable(session, source))) {
          const chunks = session.stream(sql, format);
          await sendStream(res, facts(request, format), chunks, database.version);
          return;
        }
        if (!request.settings.some(([name]) => name === 'max_result_bytes')) {
          await session.run(`SET max_result_bytes = ${BUFFERED_BYTES_MAX}`, 'TSV');
        }
        const outcome = await session.run(sql, format);
        await sendWhole(res, facts(request, format), outcome.bytes, {
          result_rows: String(outcome.rows),
          result_bytes: String(outcome.bytes.length),
          elapsed_ns: elapsedNs(startedMs),
        });
      });
    } finally {
      give();
    }
  };

  const answer = async (exchange: Exchange): Promise<void> => {
    const { req, res, request } = exchange;
    const body = decoded(req, request.bodyEncoding, request.bodyFramed);
    const inUrl = Buffer.from(request.query ?? '', 'utf8');
    const hasBody =
      req.headers['transfer-encoding'] !== undefined ||
      Number(req.headers['content-length'] ?? 0) > 0;
    if (request.query === undefined && !hasBody && req.method === 'GET') {
      res.end('Ok.\n');
      return;
    }
    // All SQL in the URL tells what the body is; else the body's beginning does.
    const early = insertOfUrl(inUrl);
    if (early !== undefined) {
      if (req.method === 'GET') throw new ClickHouseFault(164, 'INSERT needs POST');
      await insertRows(
        exchange,
        early,
        inUrl.subarray(early.dataStart),
        hasBody ? body : undefined,
      );
      return;
    }
    const { head, rest } = await readHead(inUrl, hasBody ? body : undefined);
    const text = head.toString('latin1');
    const statement = analyseStatement(text);
    if (statement.kind === 'insert_data') {
      if (req.method === 'GET') throw new ClickHouseFault(164, 'INSERT needs POST');
      await insertRows(exchange, statement, head.subarray(statement.dataStart), rest);
      return;
    }
    if (rest !== undefined) {
      throw new ClickHouseFault(62, `Syntax error: the statement is over ${SQL_BYTES_MAX} bytes`, {
        status: 413,
      });
    }
    await runStatement(exchange, statement);
  };

  const server = createServer(
    { maxHeaderSize: SQL_BYTES_MAX, keepAliveTimeout: KEEP_ALIVE_MS, requireHostHeader: false },
    (req, res) => {
      const url = new URL(req.url ?? '/', 'http://store');
      if (answerHealth(url.pathname, res, settings.notReady)) return;
      const abort = new AbortController();
      let queryId = url.searchParams.get('query_id') ?? '';
      res.on('close', () => {
        if (!res.writableFinished) abort.abort(new Error('the reader went away'));
      });
      const work = async (): Promise<void> => {
        if (url.pathname !== '/') {
          throw new ClickHouseFault(36, `There is no handle ${url.pathname}; use / or /ping`, {
            status: 404,
          });
        }
        isUser(req, url);
        if (settings.stopping()) throw stoppingFault();
        if (req.method !== 'GET' && req.method !== 'POST') {
          throw new ClickHouseFault(48, `method ${String(req.method)} is not supported`, {
            status: 405,
          });
        }
        const request = readRequest(url, req.headers);
        queryId = request.queryId;
        await answer({ req, res, request, gone: abort.signal });
      };
      work().catch((error: unknown) => {
        if (abort.signal.aborted) {
          res.destroy();
          return;
        }
        // What is left of the body is not read: the connection cannot be used again.
        if (!req.complete) res.shouldKeepAlive = false;
        log.debug('request failed', { query_id: queryId, error: String(error).slice(0, 500) });
        sendFault(res, settings.stopping() ? stoppingFault() : bodyFault(error), {
          queryId,
          version: database.version,
          framed: wantsFrames(url),
        });
      });
    },
  );
  server.timeout = SILENCE_MS_MAX;
  return server;
}

/** /ping and friends; no password, no engine. */
function answerHealth(
  path: string,
  res: ServerResponse,
  notReady: () => string | undefined,
): boolean {
  if (path === '/ping' || path === '/replicas_status') {
    res.end('Ok.\n');
    return true;
  }
  if (path === '/healthz') {
    res.end('ok\n');
    return true;
  }
  if (path !== '/readyz') return false;
  const why = notReady();
  res.writeHead(why === undefined ? 200 : 503, { 'Content-Type': 'text/plain' });
  res.end(why === undefined ? 'ok\n' : `${why}\n`);
  return true;
}

/** The INSERT whose rows are still to come; undefined when the body goes on with the SQL. */
function insertOfUrl(sql: Buffer): Extract<Statement, { kind: 'insert_data' }> | undefined {
  const text = sql.toString('latin1');
  if (tokens(text).next().value?.keyword !== 'INSERT') return undefined;
  try {
    const statement = analyseStatement(text);
    return statement.kind === 'insert_data' ? statement : undefined;
  } catch (error) {
    // 36: it does not say yet where its rows come from; the body may.
    if (error instanceof ClickHouseFault && error.code === 36) return undefined;
    throw error;
  }
}

const stoppingFault = (): ClickHouseFault =>
  new ClickHouseFault(210, 'the store is stopping; try again when it is back', { retryAfterS: 1 });

const bytesToText = (latin1: string): string => Buffer.from(latin1, 'latin1').toString('utf8');

const elapsedNs = (startedMs: number): string =>
  String(Math.round((performance.now() - startedMs) * 1e6));
