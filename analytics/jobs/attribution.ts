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
import { OpenTraces } from '../attribution/open-traces.ts';
import { readTraces } from '../attribution/read-traces.ts';
import { minuteOfTrace, TracesTable } from '../attribution/traces-table.ts';
import { nextBuild, OVERLAP_S } from '../builds.ts';
import { sql } from '../sql.ts';
import { MINUTE_MS, minuteOf } from '../window.ts';
import {
  CARRY_MS,
  FLUSH_TRACES,
  publishAttribution,
  StreamReader,
  type MinuteRows,
} from './attribution-stream.ts';
import type { OnProgress } from './progress.ts';
import { CLOSE_AFTER_MS } from './rollup.ts';

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
   * One run. Idempotent. Tells how far it is.
   * @throws AzimuthError of the store's; what was published until then stays, the next run goes on.
   */
  run(told?: OnProgress): Promise<AttributionOutcome>;
}

export function createAttributionJob(settings: AttributionSettings): AttributionJob {
  let reader: StreamReader | undefined;
  return {
    async run(told) {
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
        reader = new StreamReader(store, { readFromMs: watermarkMs, fromMs: watermarkMs });
      }
      let published = 0;
      let traces = 0;
      for (;;) {
        const untilMs = Math.min(closedUntilMs, reader.traces.baseMs + STRETCH_MS);
        const before = reader.tracesSplit;
        published += await reader.readUntil(untilMs, startedMs, (publishedUntilMs) =>
          told?.({
            fromMs: watermarkMs,
            untilMs: publishedUntilMs,
            goalMs: closedUntilMs,
          }),
        );
        traces += reader.tracesSplit - before;
        if (untilMs === closedUntilMs) break;
        const fromMs: number = reader.publishedUntilMs;
        reader = new StreamReader(store, { readFromMs: fromMs, fromMs });
      }
      const open = reader.traces.size;
      log.debug('attribution', { published, reopened, traces, open });
      return { published, reopened, traces, publishedUntilMs: reader.publishedUntilMs, open };
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
  await publishAttribution(
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
