/**
 * The attribution of stored traces by another way than the worker's: one SQL statement in the store
 * (attribution-oracle.sql). Beside it what the job published, in the same form, to be compared.
 */
import { readFileSync } from 'node:fs';
import {
  reasonsOf,
  SEGMENT_KINDS,
  type IncompleteReason,
} from '../../analytics/attribution/segments.ts';
import type { StoreClient } from '../../store/client.ts';
import { FUNCTIONS } from '../../telemetry/hop-record.ts';

/** One trace; times in whole nanoseconds. */
export interface Attributed {
  readonly trace: string;
  readonly hops: number;
  readonly roots: number;
  readonly byInterval: number;
  readonly durationNs: number;
  readonly residualNs: number;
  /** Sums by kind, place and detail, sorted; residual and zeros left out. */
  readonly parts: readonly (readonly [kind: string, place: string, detail: string, ns: number])[];
  /** Sorted; `does_not_add_up` is the residual's affair. */
  readonly lacks: readonly string[];
}

interface Stretch {
  readonly fromMs: number;
  readonly toMs: number;
}

const ORACLE = readFileSync(new URL('./attribution-oracle.sql', import.meta.url), 'utf8');

/** Traces by the oracle, by id. */
export async function attributeBySql(store: StoreClient, stretch: Stretch): Promise<Attributed[]> {
  const rows = await store.query<{
    trace: string;
    hops: number;
    roots: number;
    by_interval: number;
    duration_ns: number;
    residual_ns: number;
    parts: [string, string, string, number][];
    lacks: string[];
  }>(ORACLE, { from_ms: stretch.fromMs, to_ms: stretch.toMs, functions: [...FUNCTIONS] });
  return rows.map(({ by_interval, duration_ns, residual_ns, ...row }) => ({
    ...row,
    byInterval: by_interval,
    durationNs: duration_ns,
    residualNs: residual_ns,
    parts: sorted(row.parts),
  }));
}

/** Traces as published, by id. */
export async function publishedAttribution(store: StoreClient): Promise<Attributed[]> {
  const rows = await store.query<{
    trace: string;
    hops: number;
    roots: number;
    by_interval: number;
    duration_ns: number;
    incomplete: number;
    segments: [number, string, string, number][];
  }>(
    `SELECT TraceId AS trace, Hops AS hops, Roots AS roots, ByInterval AS by_interval,
       DurationNs AS duration_ns, Incomplete AS incomplete,
       arrayZip(arrayMap(k -> toUInt8(k), Segments.Kind), Segments.Place, Segments.Detail, Segments.Ns) AS segments
     FROM attribution ORDER BY TraceId`,
  );
  return rows.map(({ by_interval, duration_ns, incomplete, segments, ...row }) => {
    const sums = new Map<string, [string, string, string, number]>();
    let residualNs = 0;
    for (const [kind, place, detail, ns] of segments) {
      const name = SEGMENT_KINDS[kind]!;
      if (name === 'residual') residualNs += ns;
      const known = sums.get(`${name} ${place} ${detail}`);
      if (known !== undefined) known[3] += ns;
      else if (name !== 'residual')
        sums.set(`${name} ${place} ${detail}`, [name, place, detail, ns]);
    }
    const notAsked: IncompleteReason = 'does_not_add_up';
    return {
      ...row,
      byInterval: by_interval,
      durationNs: duration_ns,
      residualNs,
      parts: sorted([...sums.values()].filter(([, , , ns]) => ns !== 0)),
      lacks: reasonsOf(incomplete)
        .filter((reason) => reason !== notAsked)
        .sort(),
    };
  });
}

const sorted = (parts: readonly [string, string, string, number][]): Attributed['parts'] =>
  [...parts].sort((a, b) => (a.join(' ') < b.join(' ') ? -1 : 1));
