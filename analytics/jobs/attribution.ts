/**
 * The attribution job: splits the requests of closed minutes into segments and publishes them.
 *
 *   1. published minutes that got rows since: the traces that these rows belong to are split again,
 *      wherever their rows lie, and take their old place in a new build of their minutes;
 *   2. closed minutes past the watermark are streamed once, in order; what is still open at their
 *      end is carried to the next run;
 *   3. a minute is published when it was read and no trace that began in it or before is open.
 *
 * All that must survive stands in `attribution_builds`: the carried traces are only a saving, since a
 * new process starts reading at the watermark, before which nothing is open. Two instances at once
 * write the same traces under builds of their own, and readers take the newer one.
 */
import type { Log } from '../../runtime/log.ts';
import type { StoreClient } from '../../store/client.ts';
import { OpenTraces, type ClosedTrace } from '../attribution/open-traces.ts';
import { readTraces } from '../attribution/read-traces.ts';
import { minuteOfTrace, TracesTable } from '../attribution/traces-table.ts';
import { nextBuild, OVERLAP_S } from '../builds.ts';
import { sql } from '../sql.ts';
import { MINUTE_MS, minuteOf } from '../window.ts';
import { CLOSE_AFTER_MS } from './rollup.ts';

/** A trace that is open for longer is closed as it stands, so that it cannot hold up the report. */
export const CARRY_MS = 10 * MINUTE_MS;

/** Traces written by one insert: some 4 MB. */
const FLUSH_TRACES = 10_000;

/** Rows read by one query when catching up, about; a single minute may hold more. */
const ROWS_PER_READ = 2_000_000;

/** A reader goes on for so long: starts are exact for 104 days from its base, and names add up. */
const STRETCH_MS = 30 * 24 * 60 * MINUTE_MS;

export interface AttributionSettings {
  readonly store: StoreClient;
  readonly log: Log;
  /** Rows older than this are not looked for: they may be gone in part. */
  readonly retentionDays: number;
  /** Unix milliseconds. */
  readonly nowMs: () => number;
}

export interface AttributionOutcome {
  /** Minutes published for the first time in this run. */
  readonly published: number;
  /** Minutes published anew since rows came late. */
  readonly reopened: number;
  /** Traces split. */
  readonly traces: number;
  /** End of the newest published minute, Unix milliseconds. */
  readonly publishedUntilMs: number;
  /** Traces carried to the next run. */
  readonly open: number;
}

export interface AttributionJob {
  /**
   * One run. Idempotent.
   * @throws AzimuthError of the store's; what was published until then stays, the next run goes on.
   */
  run(): Promise<AttributionOutcome>;
}

interface MinuteRows {
  /** Start, Unix seconds. */
  readonly minute: number;
  readonly rows: number;
}

export function createAttributionJob(settings: AttributionSettings): AttributionJob {
  let reader: StreamReader | undefined;
  return {
    async run() {
      const { store, log, nowMs } = settings;
      const startedMs = nowMs();
      const closedUntilMs = minuteOf(startedMs - CLOSE_AFTER_MS);
      const oldestMs =
        minuteOf(startedMs - settings.retentionDays * 24 * 60 * MINUTE_MS) + MINUTE_MS;
      const progress = await readAttributionProgress(store);
      const watermarkMs = Math.max(oldestMs, progress?.publishedUntilMs ?? oldestMs);
      const reopened =
        progress === undefined
          ? 0
          : await reopen(store, {
              ...progress,
              oldestMs,
              publishedUntilMs: watermarkMs,
              startedMs,
            });
      // Another instance was ahead of us, or a run failed in the middle: begin where all is known.
      if (reader === undefined || reader.failed || reader.publishedUntilMs !== watermarkMs) {
        reader = new StreamReader(store, watermarkMs);
      }
      let published = 0;
      let traces = 0;
      for (;;) {
        const untilMs = Math.min(closedUntilMs, reader.traces.baseMs + STRETCH_MS);
        const before = reader.tracesSplit;
        published += await reader.readUntil(untilMs, startedMs);
        traces += reader.tracesSplit - before;
        if (untilMs === closedUntilMs) break;
        reader = new StreamReader(store, reader.publishedUntilMs);
      }
      log.debug('attribution', { published, reopened, open: reader.traces.size });
      return {
        published,
        reopened,
        traces,
        publishedUntilMs: reader.publishedUntilMs,
        open: reader.traces.size,
      };
    },
  };
}

/** How far the job is; undefined before its first run. */
export async function readAttributionProgress(
  store: StoreClient,
): Promise<{ publishedUntilMs: number; scannedS: number } | undefined> {
  const [row] = await store.query<{ watermark_s: number; scanned_s: number }>(
    sql('attribution_progress'),
  );
  return row && { publishedUntilMs: row.watermark_s * 1000 + MINUTE_MS, scannedS: row.scanned_s };
}

/** Streams minutes in order, carries what is open, publishes what is closed. */
class StreamReader {
  readonly traces: OpenTraces;
  publishedUntilMs: number;
  failed = false;
  tracesSplit = 0;
  #readUntilMs: number;
  readonly #store: StoreClient;
  readonly #table = new TracesTable();
  /** Builds of minutes (Unix milliseconds) that are being written. */
  readonly #builds = new Map<number, bigint>();
  /** Rows of minutes read and not yet published. */
  #counted: MinuteRows[] = [];
  #startedMs = 0;

  constructor(store: StoreClient, fromMs: number) {
    this.#store = store;
    this.publishedUntilMs = fromMs;
    this.#readUntilMs = fromMs;
    this.traces = new OpenTraces(fromMs, (trace) => this.#take(trace));
  }

  /** Reads up to an instant; returns how many minutes were published. */
  async readUntil(untilMs: number, startedMs: number): Promise<number> {
    this.#startedMs = startedMs;
    // Until all is written; a reader that failed in the middle is not used again.
    this.failed = true;
    let published = 0;
    if (this.#readUntilMs < untilMs) {
      // Counted before they are read: what arrives in between makes the count too small, so that
      // the next run finds the difference.
      const counted = await this.#store.query<MinuteRows>(sql('attribution_counted'), {
        from_ms: this.#readUntilMs,
        to_ms: untilMs,
      });
      for (const part of partsOf(counted, this.#readUntilMs, untilMs)) {
        await readTraces(this.#store, this.traces, part, { pause: () => this.#flushIfFull() });
        this.#counted.push(...part.counted);
        this.#readUntilMs = part.toMs;
        this.traces.closeUntil(part.toMs);
        this.traces.closeBegunBefore(part.toMs - CARRY_MS);
        published += await this.#publish();
      }
    }
    this.failed = false;
    return published;
  }

  #take(trace: ClosedTrace): void {
    // Published before this reader began: the same trace again, or a stray row of one.
    if (minuteOfTrace(trace) < this.publishedUntilMs) return;
    this.tracesSplit++;
    this.#table.add(trace, (minuteMs) => this.#buildOf(minuteMs));
  }

  #buildOf(minuteMs: number): bigint {
    let build = this.#builds.get(minuteMs);
    if (build === undefined) {
      build = BigInt(nextBuild(this.#startedMs, []));
      this.#builds.set(minuteMs, build);
    }
    return build;
  }

  async #flushIfFull(): Promise<void> {
    if (this.#table.rows >= FLUSH_TRACES) await this.#flush();
  }

  async #flush(): Promise<void> {
    if (this.#table.rows === 0) return;
    await this.#store.insertNative(this.#table.name, this.#table.block());
    this.#table.clear();
  }

  /** Publishes minutes before the earliest open trace, in order. */
  async #publish(): Promise<number> {
    const untilMs = Math.min(this.#readUntilMs, minuteOf(this.traces.oldestMs));
    if (untilMs <= this.publishedUntilMs) return 0;
    await this.#flush();
    const ready = this.#counted.filter((m) => m.minute * 1000 < untilMs);
    // The newest is published, empty or not: it is the watermark.
    const newest = (untilMs - MINUTE_MS) / 1000;
    if (ready.at(-1)?.minute !== newest) ready.push({ minute: newest, rows: 0 });
    for (const minute of ready) {
      await publish(this.#store, this.#buildOf(minute.minute * 1000), [minute], this.#startedMs);
    }
    this.#counted = this.#counted.filter((m) => m.minute * 1000 >= untilMs);
    for (const minuteMs of this.#builds.keys()) {
      if (minuteMs < untilMs) this.#builds.delete(minuteMs);
    }
    this.publishedUntilMs = untilMs;
    return ready.length;
  }
}

/** Cuts a stretch into reads of whole minutes, of a bounded number of rows where it can be. */
function* partsOf(
  counted: readonly MinuteRows[],
  fromMs: number,
  toMs: number,
): Generator<{ fromMs: number; toMs: number; counted: readonly MinuteRows[] }> {
  let beginMs = fromMs;
  let part: MinuteRows[] = [];
  let rows = 0;
  for (const minute of counted) {
    if (part.length > 0 && (rows + minute.rows > ROWS_PER_READ || part.length === 15)) {
      const endMs = minute.minute * 1000;
      yield { fromMs: beginMs, toMs: endMs, counted: part };
      beginMs = endMs;
      part = [];
      rows = 0;
    }
    part.push(minute);
    rows += minute.rows;
  }
  yield { fromMs: beginMs, toMs, counted: part };
}

async function publish(
  store: StoreClient,
  build: bigint,
  minutes: readonly MinuteRows[],
  startedMs: number,
): Promise<void> {
  await store.command(sql('attribution_publish'), {
    build: build.toString(),
    minutes: minutes.map((m) => m.minute),
    rows: minutes.map((m) => m.rows),
    built_at_s: Math.floor(startedMs / 1000),
  });
}

/** Minutes opened anew by one statement: they are named in its URL, which servers bound. */
const REOPENED_AT_ONCE = 100;

/** Splits traces again that got rows after their minute was published; returns the minutes. */
async function reopen(
  store: StoreClient,
  progress: {
    readonly scannedS: number;
    readonly oldestMs: number;
    readonly publishedUntilMs: number;
    readonly startedMs: number;
  },
): Promise<number> {
  const sinceS = progress.scannedS - OVERLAP_S;
  const stored = await store.query<MinuteRows>(sql('attribution_changed'), {
    since_s: sinceS,
    from_ms: progress.oldestMs,
    to_ms: progress.publishedUntilMs,
  });
  const builtRows = await readBuilt(store, stored);
  const changed = stored.filter((m) => m.rows > (builtRows.get(m.minute)?.rows ?? 0));
  let reopened = 0;
  for (let i = 0; i < changed.length; i += REOPENED_AT_ONCE) {
    const some = changed.slice(i, i + REOPENED_AT_ONCE);
    reopened += await reopenSome(store, some, { ...progress, sinceS });
  }
  return reopened;
}

async function reopenSome(
  store: StoreClient,
  changed: readonly MinuteRows[],
  progress: {
    readonly sinceS: number;
    readonly publishedUntilMs: number;
    readonly startedMs: number;
  },
): Promise<number> {
  // The rest of a trace lies at most that far from its late row, or it was closed without it.
  const fromMs = changed[0]!.minute * 1000 - CARRY_MS;
  const toMs = changed.at(-1)!.minute * 1000 + MINUTE_MS + CARRY_MS;
  const late = {
    changed: changed.map((m) => m.minute),
    since_s: progress.sinceS,
    from_ms: fromMs,
    to_ms: toMs,
  };
  const rows = new Map(changed.map((m) => [m.minute, m.rows]));
  const held = await store.query<{ minute: number }>(sql('attribution_affected'), late);
  const touched = new Set([...late.changed, ...held.map((m) => m.minute)]);
  const built = await readBuilt(
    store,
    [...touched].map((minute) => ({ minute })),
  );
  const build = BigInt(
    nextBuild(
      progress.startedMs,
      [...built.values()].map((b) => b.build),
    ),
  );
  const table = new TracesTable();
  const minutes = new Set(touched);
  const flush = async (): Promise<void> => {
    if (table.rows > 0) await store.insertNative(table.name, table.block());
    table.clear();
  };
  const traces = new OpenTraces(fromMs, (trace) => {
    const minuteMs = minuteOfTrace(trace);
    if (minuteMs >= progress.publishedUntilMs) return;
    minutes.add(minuteMs / 1000);
    table.add(trace, () => build);
  });
  await readTraces(
    store,
    traces,
    { fromMs, toMs },
    {
      query: 'attribution_late_rows',
      params: { changed: late.changed, since_s: late.since_s },
      pause: async () => {
        if (table.rows >= FLUSH_TRACES) await flush();
      },
    },
  );
  traces.closeAll();
  await flush();
  const affected = [...minutes].sort((a, b) => a - b);
  await store.command(sql('attribution_keep'), {
    ...late,
    build: build.toString(),
    minutes: affected,
  });
  const known = await readBuilt(
    store,
    affected.map((minute) => ({ minute })),
  );
  await publish(
    store,
    build,
    affected.map((minute) => ({
      minute,
      rows: rows.get(minute) ?? known.get(minute)?.rows ?? 0,
    })),
    progress.startedMs,
  );
  return affected.length;
}

async function readBuilt(
  store: StoreClient,
  minutes: readonly { readonly minute: number }[],
): Promise<Map<number, { rows: number; build: bigint }>> {
  const built = new Map<number, { rows: number; build: bigint }>();
  for (let i = 0; i < minutes.length; i += 500) {
    const rows = await store.query<{ minute: number; rows_built: number; build: string }>(
      sql('attribution_built'),
      { minutes: minutes.slice(i, i + 500).map((m) => m.minute) },
    );
    for (const row of rows)
      built.set(row.minute, { rows: row.rows_built, build: BigInt(row.build) });
  }
  return built;
}
