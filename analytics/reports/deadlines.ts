/**
 * The report of deadlines: who ate the budget of the requests that ran out of time. A request counts
 * as late by the deadline that its record names (timeout_ms of its route), where it has one; else when it
 * was answered 504 or a proxy gave up on its upstream. Late requests are split into segments like those
 * of the attribution, so that the time that they lost has an owner; and what each proxy recorded as left
 * on their arrival is shown beside it. Where no proxy recorded it, it is unknown and never guessed.
 */
import type { StoreClient } from '../../store/client.ts';
import { OpenTraces } from '../attribution/open-traces.ts';
import { readTraces } from '../attribution/read-traces.ts';
import { KIND, SEGMENT_KINDS, type SegmentKind } from '../attribution/segments.ts';
import { sql } from '../sql.ts';
import { readTraffic } from '../traffic.ts';
import { MINUTE_MS, minuteOf, type Window } from '../window.ts';
import { segmentName } from './attribution-forms.ts';
import { count, percent, threeDigits } from './numbers.ts';
import { headOf, type Presentation, type ReportHead } from './presentation.ts';
import { ratio } from './traffic-figures.ts';

/** A request that used this much of its budget came near. */
const NEAR_SHARE = 0.8;
/** Late requests that are split, at most: their ids travel in the URL of one query. */
const CHOICE_MAX = 150;
/** Fewer late requests than this say little about the next one. */
const FEW_LATE = 10;
/** A late request's other hops lie at most this far behind its start. */
const LONGEST_MS = 10 * MINUTE_MS;

type Outcome = 'over' | 'near' | 'timed_out' | 'in_time';

export interface DeadlineLine {
  readonly kind: SegmentKind;
  readonly place: string;
  readonly detail: string;
  /** Mean over the late requests that were split, milliseconds. */
  readonly ms: number;
  /** Of their whole time. */
  readonly share: number;
  /** Requests in which no other segment took longer. */
  readonly largest_in: number;
}

export interface GaveUp {
  /** Workload or gateway whose proxy gave up. */
  readonly service: string;
  readonly side: string;
  /** On whom. */
  readonly target: string;
  readonly hops: number;
}

/** What was left of the late requests' deadlines at one place; medians, milliseconds. */
export interface DeadlineLeft {
  readonly service: string;
  readonly side: string;
  /** Hops that recorded a deadline, and those that did not. */
  readonly hops: number;
  readonly unknown: number;
  /** On arrival; null where no hop recorded it. */
  readonly left_ms: number | null;
  /** When the hop was over; 0 when nothing was left. */
  readonly left_after_ms: number | null;
  /** Hops that lasted longer than what was left. */
  readonly over: number;
}

export interface Deadlines extends ReportHead {
  readonly report: 'deadlines';
  readonly route: string | null;
  readonly requests: number;
  /** Requests whose record names the time that they had. */
  readonly with_deadline: number;
  readonly over: number;
  /** Used 80 % or more of the budget. */
  readonly near: number;
  readonly timed_out: number;
  /** Of the late ones (over, near, timed out): how many were split, and how many lack records. */
  readonly split: number;
  readonly incomplete: number;
  /** By mean time, most first. */
  readonly lines: readonly DeadlineLine[];
  /** Of the late requests that were looked at, the most that was left first. */
  readonly left: readonly DeadlineLeft[];
  readonly gave_up: readonly GaveUp[];
}

/**
 * Reads and makes the report.
 * @throws AzimuthError of the store's.
 */
export async function readDeadlines(
  store: StoreClient,
  window: Window,
  route: string | undefined,
): Promise<Deadlines> {
  const params = { from_ms: window.fromMs, to_ms: window.toMs };
  const { finalUntilMs } = await readTraffic(store, window);
  const rows = await store.query<{
    outcome: Outcome;
    requests: number;
    with_deadline: number;
    chosen: string[];
  }>(sql('deadline_counts'), {
    ...params,
    route: route ?? '',
    near_ns_per_ms: NEAR_SHARE * 1e6,
    choice: CHOICE_MAX,
  });
  const of = (outcome: Outcome): number =>
    rows.find((row) => row.outcome === outcome)?.requests ?? 0;
  const chosen = rows.flatMap((row) => row.chosen).slice(0, CHOICE_MAX);
  const split = await splitTraces(store, window, chosen);
  return {
    report: 'deadlines',
    ...headOf(
      window,
      finalUntilMs,
      rows.reduce((sum, row) => sum + row.requests, 0),
    ),
    route: route ?? null,
    requests: rows.reduce((sum, row) => sum + row.requests, 0),
    with_deadline: rows.reduce((sum, row) => sum + row.with_deadline, 0),
    over: of('over'),
    near: of('near'),
    timed_out: of('timed_out'),
    ...split,
    left: await readLeft(store, window, chosen),
    gave_up: await store.query<GaveUp>(sql('deadline_givers_up'), params),
  };
}

async function readLeft(
  store: StoreClient,
  window: Window,
  chosen: readonly string[],
): Promise<DeadlineLeft[]> {
  if (chosen.length === 0) return [];
  return store.query<DeadlineLeft>(sql('deadline_left'), {
    traces: chosen,
    from_ms: window.fromMs,
    to_ms: window.toMs + LONGEST_MS,
  });
}

async function splitTraces(
  store: StoreClient,
  window: Window,
  chosen: readonly string[],
): Promise<Pick<Deadlines, 'split' | 'incomplete' | 'lines'>> {
  if (chosen.length === 0) return { split: 0, incomplete: 0, lines: [] };
  const sums = new Map<string, { -readonly [K in keyof DeadlineLine]: DeadlineLine[K] }>();
  let split = 0;
  let incomplete = 0;
  let wholeNs = 0;
  const fromMs = minuteOf(window.fromMs) - MINUTE_MS;
  const traces = new OpenTraces(fromMs, (trace) => {
    const { segments, names } = trace;
    if (trace.split.incomplete !== 0) {
      incomplete += 1;
      return;
    }
    split += 1;
    wholeNs += trace.split.durationNs - segments.totals[KIND.client_wait]!;
    let largest: { largest_in: number } | undefined;
    let largestNs = 0;
    for (let i = 0; i < segments.count; i++) {
      const kind = SEGMENT_KINDS[segments.kinds[i]!]!;
      if (kind === 'client_wait') continue;
      const place = names.texts[segments.places[i]!]!;
      const detail = names.texts[segments.details[i]!]!;
      const key = JSON.stringify([kind, place, detail]);
      const line = sums.get(key) ?? { kind, place, detail, ms: 0, share: 0, largest_in: 0 };
      sums.set(key, line);
      line.ms += segments.ns[i]! / 1e6;
      if (segments.ns[i]! > largestNs) [largest, largestNs] = [line, segments.ns[i]!];
    }
    if (largest !== undefined) largest.largest_in += 1;
  });
  const stretch = { fromMs, toMs: window.toMs + LONGEST_MS };
  await readTraces(store, traces, stretch, {
    query: 'attribution_some_rows',
    params: { traces: chosen },
  });
  traces.closeAll();
  return {
    split,
    incomplete,
    lines: [...sums.values()]
      .map((line) => ({ ...line, ms: line.ms / split, share: (line.ms * 1e6) / wholeNs }))
      .sort((a, b) => b.ms - a.ms),
  };
}

/** Shows the report; pure. */
export function presentDeadlines(report: Deadlines): Presentation {
  const late = report.over + report.near + report.timed_out;
  const lines = report.lines.filter((line) => Math.abs(line.share) >= 0.005).slice(0, 12);
  const { gave_up: gaveUp, left } = report;
  const msOf = (ms: number | null): string => (ms === null ? 'unknown' : threeDigits(ms));
  return {
    title: 'Deadlines',
    about: 'Who ate the budget of the requests that ran out of time.',
    head: report,
    context: report.route === null ? [] : [`route ${report.route}`],
    facts: [
      `${count(report.requests)} requests from outside`,
      `${count(late)} late (${percent(ratio(late, report.requests))})`,
    ],
    tables: [
      {
        caption: `Where the time of late requests went (mean of ${count(report.split)})`,
        columns: [
          { head: 'segment', spare: 0, cells: lines.map(segmentName) },
          { head: 'ms', spare: 0, cells: lines.map((line) => threeDigits(line.ms)) },
          { head: 'share', spare: 0, cells: lines.map((line) => percent(line.share)) },
          { head: 'largest in', spare: 1, cells: lines.map((line) => count(line.largest_in)) },
        ],
        bars: { head: 'share', shares: lines.map((line) => line.share) },
        empty:
          late === 0
            ? 'No request of this window ran out of time or came near it.'
            : 'None of the late requests could be split completely.',
      },
      {
        caption: 'What was left of the deadline of late requests, by proxy (medians, ms)',
        columns: [
          {
            head: 'proxy of',
            spare: 0,
            cells: left.map(({ service, side }) => `${service} (${side})`),
          },
          { head: 'on arrival', spare: 0, cells: left.map((line) => msOf(line.left_ms)) },
          { head: 'at the end', spare: 0, cells: left.map((line) => msOf(line.left_after_ms)) },
          { head: 'over', spare: 0, cells: left.map(({ over }) => count(over)) },
          { head: 'hops', spare: 1, cells: left.map(({ hops }) => count(hops)) },
          { head: 'unknown', spare: 1, cells: left.map(({ unknown }) => count(unknown)) },
        ],
        bars: {
          head: '',
          shares: left.map((line) => (line.left_ms ?? 0) / Math.max(1, left[0]?.left_ms ?? 1)),
        },
        empty: 'No late request, so nothing that was left of a deadline.',
      },
      {
        caption: 'Proxies that gave up waiting, and on whom',
        columns: [
          {
            head: 'proxy of',
            spare: 0,
            cells: gaveUp.map(({ service, side }) => `${service} (${side})`),
          },
          { head: 'on', spare: 0, cells: gaveUp.map(({ target }) => target), left: true },
          { head: 'hops', spare: 0, cells: gaveUp.map(({ hops }) => count(hops)) },
        ],
        bars: {
          head: '',
          shares: gaveUp.map(({ hops }) => hops / Math.max(1, gaveUp[0]?.hops ?? 1)),
        },
        empty: 'No proxy gave up on its upstream.',
      },
    ],
    plots: [
      {
        kind: 'stacks',
        caption: 'Late requests by outcome',
        unit: 'requests',
        parts: ['over the deadline', 'near it', 'timed out'],
        rows:
          late === 0
            ? []
            : [{ label: 'late', values: [report.over, report.near, report.timed_out] }],
      },
    ],
    warnings: [
      ...(report.requests > 0 && report.with_deadline === 0
        ? [
            'No request of this window has a deadline (timeout_ms): late are those that were answered 504 or that a proxy gave up on.',
          ]
        : []),
      ...(late > 0 && late < FEW_LATE
        ? [`Only ${count(late)} late requests: the next one may well differ.`]
        : []),
      ...(late > report.split + report.incomplete
        ? [
            `Of ${count(late)} late requests ${count(report.split + report.incomplete)} were looked at.`,
          ]
        : []),
      ...(report.incomplete > 0
        ? [
            `${count(report.incomplete)} late requests lack records and are not split: of a call that was given up on, the far end may be missing.`,
          ]
        : []),
    ],
    notes: [
      `over ${count(report.over)}, near (80 % of the budget) ${count(report.near)}, timed out ${count(report.timed_out)}; times without waiting for clients`,
    ],
  };
}
