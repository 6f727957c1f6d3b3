/**
 * Traffic of closed minutes as counters, for `/metrics`: what was published since this process began.
 * Reads the store; the rollup job writes it, of this process or of another.
 *
 *     builds:  minute -> newest build  ──(another than the one counted)──►  + its figures
 *                                                                          - those of the one counted
 *
 * So a minute that late rows opened again counts by its difference, and no figure is kept in memory but
 * the sums: both builds stand in traffic_1m. Two processes count the same, each from its own start.
 * Minutes published before the start, and those older than COUNTED_MS, are not counted: a backfill of
 * the past is no traffic of today. Docs: docs/adr/027-traffic-as-counters.md.
 */
import {
  EDGE_CLASSES,
  PROXY_ROLES,
  type EdgeClass,
  type ProxyRole,
} from '../telemetry/edge-class.ts';
import { STATUS_CLASSES } from '../telemetry/status-class.ts';
import type { StoreClient } from '../store/client.ts';
import { octaveEndOf } from './histogram.ts';
import { RisingHistogram, RisingSums } from './rising.ts';
import { sql } from './sql.ts';
import { HOUR_MS, MINUTE_MS, minuteOf } from './window.ts';

/** Kafka keeps unread hops for a day (docker-compose.yml): later corrections come from a backfill. */
const COUNTED_MS = 24 * HOUR_MS;

/** Minutes read by one query, at most: they and two builds of each travel in its URL. */
const MINUTES_PER_READ = 60;

/** Octaves by the powers of two at which they end, nanoseconds: bounds of the stored histograms. */
interface Octaves {
  readonly first: number;
  readonly last: number;
}
/** 0.52 ms to 34 s: requests. */
const DURATION: Octaves = { first: 19, last: 35 };
/** 16 µs to 1.1 s: what a proxy takes itself. */
const OWN: Octaves = { first: 14, last: 30 };

const boundsS = ({ first, last }: Octaves): number[] =>
  Array.from({ length: last - first + 1 }, (_, i) => 2 ** (first + i) / 1e9);

/** Upper bounds of the buckets, seconds. */
export const CLOSED_DURATION_BOUNDS_S = boundsS(DURATION);
export const CLOSED_OWN_BOUNDS_S = boundsS(OWN);

/** Counters of the hops of one role and edge class. */
export interface ClosedCell {
  readonly role: ProxyRole;
  readonly edgeClass: EdgeClass;
  /** Hops by status class, in the order of STATUS_CLASSES; streams included. */
  readonly hops: RisingSums;
  /** Effective durations, nanoseconds; no streams. */
  readonly duration: RisingHistogram;
  readonly own: RisingHistogram;
}

/** A row of closed_minutes.sql. */
interface PublishedMinute {
  /** Start, Unix seconds. */
  readonly minute: number;
  readonly build: string;
  readonly hops: number;
}

/** A row of closed_traffic.sql. */
interface TrafficRow {
  readonly minute: number;
  readonly build: string;
  readonly role: ProxyRole;
  readonly edge_class: EdgeClass;
  readonly status_class: number;
  readonly hops: number;
  readonly effective_ns: number;
  readonly own_ns: number;
  readonly latency: readonly [number, number][];
  readonly own: readonly [number, number][];
}

export class ClosedTraffic {
  /** All that there can be, by role and edge class. */
  readonly cells: readonly ClosedCell[] = PROXY_ROLES.flatMap((role) =>
    EDGE_CLASSES.map((edgeClass) => ({
      role,
      edgeClass,
      hops: new RisingSums(STATUS_CLASSES.length),
      duration: new RisingHistogram(CLOSED_DURATION_BOUNDS_S.length + 1),
      own: new RisingHistogram(CLOSED_OWN_BOUNDS_S.length + 1),
    })),
  );
  /** Minutes counted since the start, and counted again by their difference. */
  minutes = { closed: 0, corrected: 0 };
  /** Everything that is published before this instant is counted, Unix milliseconds; undefined before the first read. */
  closedUntilMs: number | undefined;

  readonly #store: StoreClient;
  readonly #nowMs: () => number;
  /** The build by which a minute is counted; before the first read nothing is. */
  #counted: Map<number, string> | undefined;
  /** Only rises: a clock that is set back must not bring back minutes that were forgotten. */
  #fromMs = 0;

  constructor(settings: { readonly store: StoreClient; readonly nowMs: () => number }) {
    this.#store = settings.store;
    this.#nowMs = settings.nowMs;
  }

  /**
   * Takes what is published as the beginning: it is not counted. Safe to call again, which does nothing.
   * @throws AzimuthError of the store's.
   */
  async begin(): Promise<void> {
    if (this.#counted !== undefined) return;
    const published = await this.#published();
    this.#counted = new Map(published.map(({ minute, build }) => [minute, build]));
    this.#tellUntil(published);
  }

  /**
   * Counts what was published since the last time. One call at a time.
   * @throws AzimuthError of the store's; what was counted until then stays, the next call goes on.
   */
  async read(): Promise<void> {
    await this.begin();
    const counted = this.#counted!;
    const published = await this.#published();
    for (const minute of counted.keys()) {
      if (minute * 1000 < this.#fromMs) counted.delete(minute);
    }
    const changed = published.filter(({ minute, build }) => counted.get(minute) !== build);
    for (let i = 0; i < changed.length; i += MINUTES_PER_READ) {
      await this.#count(changed.slice(i, i + MINUTES_PER_READ), counted);
    }
    this.#tellUntil(published);
  }

  #published(): Promise<PublishedMinute[]> {
    this.#fromMs = Math.max(this.#fromMs, minuteOf(this.#nowMs() - COUNTED_MS));
    return this.#store.query<PublishedMinute>(sql('closed_minutes'), { from_ms: this.#fromMs });
  }

  async #count(some: readonly PublishedMinute[], counted: Map<number, string>): Promise<void> {
    const named = some.flatMap(({ minute, build }) => {
      const before = counted.get(minute);
      return before === undefined ? [{ minute, build }] : [{ minute, build }, { minute, build: before }]; // prettier-ignore
    });
    const rows = await this.#store.query<TrafficRow>(sql('closed_traffic'), {
      minutes: named.map(({ minute }) => minute),
      builds: named.map(({ build }) => build),
      from_ms: some[0]!.minute * 1000,
      to_ms: some.at(-1)!.minute * 1000 + MINUTE_MS,
    });
    for (const { minute, build, hops } of some) {
      const ofMinute = rows.filter((row) => row.minute === minute);
      const now = ofMinute.filter((row) => row.build === build);
      // A replica may know that a build is published before it has all of its rows: the next turn.
      if (now.reduce((sum, row) => sum + row.hops, 0) < hops) continue;
      const before = counted.get(minute);
      this.#add(now, 1);
      this.#add(ofMinute.filter((row) => row.build === before), -1); // prettier-ignore
      counted.set(minute, build);
      this.minutes[before === undefined ? 'closed' : 'corrected'] += 1;
    }
    for (const cell of this.cells) {
      cell.hops.settle();
      cell.duration.settle();
      cell.own.settle();
    }
  }

  #add(rows: readonly TrafficRow[], sign: 1 | -1): void {
    for (const row of rows) {
      const cell =
        this.cells[
          PROXY_ROLES.indexOf(row.role) * EDGE_CLASSES.length + EDGE_CLASSES.indexOf(row.edge_class)
        ]!;
      cell.hops.add(Math.min(row.status_class, STATUS_CLASSES.length - 1), sign * row.hops);
      addBuckets(cell.duration, DURATION, row.latency, sign);
      cell.duration.addSum(sign * row.effective_ns);
      addBuckets(cell.own, OWN, row.own, sign);
      cell.own.addSum(sign * row.own_ns);
    }
  }

  #tellUntil(published: readonly PublishedMinute[]): void {
    const waiting = published.find(({ minute, build }) => this.#counted!.get(minute) !== build);
    const newest = published.at(-1);
    if (waiting !== undefined) this.closedUntilMs = waiting.minute * 1000;
    else if (newest !== undefined) this.closedUntilMs = newest.minute * 1000 + MINUTE_MS;
  }
}

/** Pairs [stored bucket, hops] into octaves. */
function addBuckets(
  into: RisingHistogram,
  { first, last }: Octaves,
  pairs: readonly (readonly [number, number])[],
  sign: 1 | -1,
): void {
  for (const [bucket, hops] of pairs) {
    const octave = Math.min(last + 1, Math.max(first, octaveEndOf(bucket)));
    into.add(octave - first, sign * hops);
  }
}
