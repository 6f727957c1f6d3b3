/**
 * The streaming half of the attribution job: reads minutes in order, each row once, carries what is
 * open from read to read, and publishes minutes before which nothing is open. Used by the job for
 * what is new, and by a backfill for what is to be split again.
 */
import type { StoreClient } from '../../store/client.ts';
import { OpenTraces, type ClosedTrace } from '../attribution/open-traces.ts';
import { readTraces } from '../attribution/read-traces.ts';
import { minuteOfTrace, TracesTable } from '../attribution/traces-table.ts';
import { nextBuild } from '../builds.ts';
import { sql } from '../sql.ts';
import { MINUTE_MS, minuteOf } from '../window.ts';

/** A trace that is open for longer is closed as it stands, so that it cannot hold up the report. */
export const CARRY_MS = 10 * MINUTE_MS;

/** Traces written by one insert: some 4 MB. */
export const FLUSH_TRACES = 10_000;

/** Rows read by one query when catching up, about; a single minute may hold more. */
const ROWS_PER_READ = 2_000_000;
const MINUTES_PER_READ = 60;

/** Minutes named in one statement, at most: they travel in its URL, which servers bound. */
const MINUTES_PER_PUBLISH = 500;

export interface MinuteRows {
  /** Start, Unix seconds. */
  readonly minute: number;
  readonly rows: number;
}

export interface StreamBounds {
  /** Reading begins here: at `fromMs` where nothing is open before it, else CARRY_MS earlier. */
  readonly readFromMs: number;
  /** Minutes from here on are published. */
  readonly fromMs: number;
  /** Minutes from here on are only read, for what began before; absent: all are published. */
  readonly toMs?: number;
  /** Builds must be greater than this one. */
  readonly newerThan?: bigint;
}

/** Streams minutes in order, carries what is open, publishes what is closed. */
export class StreamReader {
  readonly traces: OpenTraces;
  publishedUntilMs: number;
  failed = false;
  tracesSplit = 0;
  #readUntilMs: number;
  readonly #store: StoreClient;
  readonly #table = new TracesTable();
  readonly #bounds: StreamBounds;
  /** Builds of minutes (Unix milliseconds) that are being written. */
  readonly #builds = new Map<number, bigint>();
  #build = 0n;
  /** Rows of minutes read and not yet published. */
  #counted: MinuteRows[] = [];
  #startedMs = 0;

  constructor(store: StoreClient, bounds: StreamBounds) {
    this.#store = store;
    this.#bounds = bounds;
    this.publishedUntilMs = bounds.fromMs;
    this.#readUntilMs = bounds.readFromMs;
    this.traces = new OpenTraces(bounds.readFromMs, (trace) => this.#take(trace));
  }

  /**
   * Reads up to an instant; returns how many minutes were published. `onPublished` gets the end of
   * those that are, Unix milliseconds.
   */
  async readUntil(
    untilMs: number,
    startedMs: number,
    onPublished?: (untilMs: number) => void,
  ): Promise<number> {
    this.#startedMs = startedMs;
    this.#build = BigInt(nextBuild(startedMs, [this.#bounds.newerThan ?? 0n]));
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
        onPublished?.(this.publishedUntilMs);
      }
    }
    this.failed = false;
    return published;
  }

  #take(trace: ClosedTrace): void {
    // Published before this reader began: the same trace again, or a stray row of one.
    const minuteMs = minuteOfTrace(trace);
    if (minuteMs < this.publishedUntilMs || minuteMs >= (this.#bounds.toMs ?? Infinity)) return;
    this.tracesSplit++;
    this.#table.add(trace, (ms) => this.#buildOf(ms));
  }

  #buildOf(minuteMs: number): bigint {
    let build = this.#builds.get(minuteMs);
    if (build === undefined) this.#builds.set(minuteMs, (build = this.#build));
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
    const { toMs = Infinity } = this.#bounds;
    const untilMs = Math.min(this.#readUntilMs, minuteOf(this.traces.oldestMs), toMs);
    if (untilMs <= this.publishedUntilMs) return 0;
    await this.#flush();
    const ready = this.#counted.filter(
      ({ minute }) => minute * 1000 < untilMs && minute * 1000 >= this.publishedUntilMs,
    );
    // The newest is published, empty or not: it is the watermark.
    const newest = (untilMs - MINUTE_MS) / 1000;
    const isWatermark = this.#bounds.toMs === undefined;
    if (isWatermark && ready.at(-1)?.minute !== newest) ready.push({ minute: newest, rows: 0 });
    // In ascending order, so that all before the newest is published whenever this breaks off.
    for (let i = 0; i < ready.length;) {
      const build = this.#buildOf(ready[i]!.minute * 1000);
      let end = i + 1;
      while (
        end < Math.min(ready.length, i + MINUTES_PER_PUBLISH) &&
        this.#buildOf(ready[end]!.minute * 1000) === build
      ) {
        end++;
      }
      await publishAttribution(this.#store, build, ready.slice(i, end), this.#startedMs);
      i = end;
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
    const full = rows + minute.rows > ROWS_PER_READ || part.length === MINUTES_PER_READ;
    if (part.length > 0 && full) {
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

export async function publishAttribution(
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
