/**
 * The door to chdb. One fresh session for each request, since settings, parameters and temporary
 * tables stick to a session and would reach the next request; sessions on one folder run in
 * parallel. Nothing here blocks the event loop: the engine's calls run on libuv's pool.
 *
 * Never hands it rows as bytes (they would be read as SQL), never kills SYNC (hangs for good),
 * never runs in a worker thread (crashes).
 */
import { randomUUID } from 'node:crypto';
import { drainPending, Session } from 'chdb';
import { literal, quotedName } from './request.ts';

interface StatementContext {
  readonly database: string | undefined;
  readonly settings: readonly (readonly [name: string, value: string])[];
  readonly params: readonly (readonly [name: string, value: string])[];
  /** For people who look into system.processes. */
  readonly comment: string;
  /** Stopped when the store stops; what writes is let finish. */
  readonly reads: boolean;
}

interface Outcome {
  readonly bytes: Uint8Array;
  /** Rows of the answer, or rows read from the file of an insert. */
  readonly rows: number;
}

/** A session of one request. `close()` it in every case, once; a second call does nothing. */
export interface DatabaseSession {
  /** Runs one statement; all of its answer at once. Rejects with the engine's error. */
  run(sql: string, format: string): Promise<Outcome>;
  /** Streams one SELECT; see `streamSource` in statement.ts for which ones may be. */
  stream(sql: string, format: string): AsyncIterable<{ bytes: Uint8Array; rows: number }>;
  /** Stops what runs; safe at any time. Whatever ran rejects with code 394. */
  kill(): void;
  close(): void;
}

export interface Database {
  readonly version: string;
  readonly timezone: string;
  openSession(context: StatementContext): Promise<DatabaseSession>;
  /** Stops what reads, waits for what writes, and resolves when the engine is still. */
  close(): Promise<void>;
}

/** How often a KILL is repeated until the statement ended: it may come before the engine knows it. */
const KILL_INTERVAL_MS = 200;

/** Opens or creates the folder. Throws when another process holds it. */
export async function openDatabase(folder: string, args: readonly string[]): Promise<Database> {
  // Kept open: the engine stops and starts anew when its last session closes.
  const root = new Session(folder, { connectionArgs: args });
  const about = await root.queryAsync('SELECT version(), timezone()', { format: 'TSV' });
  const [version, timezone] = about.text().trim().split('\t');
  const reading = new Set<DatabaseSession>();

  const openSession = async (context: StatementContext): Promise<DatabaseSession> => {
    const session = new Session(folder);
    const id = randomUUID();
    let running = 0;
    let killTimer: NodeJS.Timeout | undefined;
    let closed = false;
    const kill = (): void => {
      if (running === 0) return;
      const killer = new Session(folder);
      killer
        .queryAsync(`KILL QUERY WHERE startsWith(Settings['log_comment'], ${literal(id)}) ASYNC`)
        .catch(() => undefined)
        .finally(() => killer.close());
      killTimer ??= setInterval(kill, KILL_INTERVAL_MS);
    };
    const ended = (): void => {
      running -= 1;
      if (running > 0) return;
      clearInterval(killTimer);
      killTimer = undefined;
    };
    const run = async (sql: string, format: string): Promise<Outcome> => {
      running += 1;
      try {
        const result = await session.queryAsync(sql, { format });
        return { bytes: result.bytes(), rows: result.rowsRead };
      } finally {
        ended();
      }
    };
    const opened: DatabaseSession = {
      run,
      async *stream(sql, format) {
        running += 1;
        try {
          for await (const chunk of session.queryStream(sql, { format })) {
            yield { bytes: chunk.raw(), rows: chunk.numRows };
          }
        } finally {
          ended();
        }
      },
      kill,
      close() {
        if (closed) return;
        closed = true;
        reading.delete(opened);
        clearInterval(killTimer);
        session.close();
      },
    };
    if (context.reads) reading.add(opened);
    try {
      if (context.database !== undefined) await run(`USE ${quotedName(context.database)}`, 'TSV');
      const comment = `${id} ${context.comment}`.trim();
      const assignments = [
        `log_comment = ${literal(comment)}`,
        ...context.params.map(([name, value]) => `param_${name} = ${literal(value)}`),
        ...context.settings.map(([name, value]) => `${name} = ${literal(value)}`),
      ];
      await run(`SET ${assignments.join(', ')}`, 'TSV');
    } catch (error) {
      opened.close();
      throw error;
    }
    return opened;
  };

  return {
    version: version ?? 'unknown',
    timezone: timezone ?? 'UTC',
    openSession,
    async close() {
      for (const session of reading) session.kill();
      root.close();
      await drainPending();
    },
  };
}
