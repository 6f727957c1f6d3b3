/**
 * The hops of one process as they finish, for whoever follows `/hops`. While nobody does, a hop
 * costs the recorder one look at `listening`; while somebody does, telemetry still never holds up a
 * request: past EVENTS_PER_WINDOW, or when the reader is behind, hops are left out and counted.
 */
import { directionOf } from '../../telemetry/edge-class.ts';
import {
  RESPONSE_FLAGS,
  type AnsweredBy,
  type HopRecord,
  type HopShape,
  type ResponseFlag,
  type StreamClass,
} from '../../telemetry/hop-record.ts';
import { computeHopTimes, createHopTimes } from '../../telemetry/hop-times.ts';
import type { Emit } from '../workers/snapshots.ts';
import { matchesHop, type HopFilter } from './hop-filter.ts';

/** One hop as it is shown; times in milliseconds. */
export interface HopEvent {
  /** End of the hop, ISO 8601. */
  readonly time: string;
  readonly seq: number;
  readonly trace_id: string;
  readonly span_id: string;
  readonly method: string;
  /** '' when none matched. */
  readonly route: string;
  /** Without query; only where the mesh file asks for it. */
  readonly path?: string;
  /** 0 when the client left before an answer. */
  readonly status: number;
  readonly duration_ms: number;
  readonly own_ms: number;
  readonly upstream_ms: number;
  readonly client_wait_ms: number;
  readonly attempts: number;
  readonly side: string;
  readonly edge_class: string;
  /** The split reading. */
  readonly direction: string;
  readonly peer: string;
  readonly target: string;
  readonly answered_by: AnsweredBy;
  readonly error_type: string;
  readonly flags: readonly ResponseFlag[];
  readonly stream_class: StreamClass;
  /** Of a copy of a request, which is no load; left out on any other. */
  readonly mirrored?: true;
  readonly bytes_in: number;
  readonly bytes_out: number;
}

/** What a follower gets: a hop, and how many that it wanted were left out so far in this process. */
export interface FeedEvent {
  readonly hop: HopEvent;
  readonly left_out: number;
}

/**
 * At most 2,000 events a second and reader, in windows so short that a burst does not stall
 * requests: one event costs about as much as a request. A terminal shows fewer anyway.
 */
const WINDOW_MS = 100;
export const EVENTS_PER_WINDOW = 200;

interface Follower {
  readonly filter: HopFilter;
  readonly emit: Emit;
  windowStartMs: number;
  inWindow: number;
  leftOut: number;
}

export class HopFeed {
  /** True while somebody follows: all that the request path looks at. */
  listening = false;
  readonly #followers = new Set<Follower>();
  readonly #unixMs: (monotonicMs: number) => number;
  readonly #times = createHopTimes();

  /** `unixMs`: Unix milliseconds of a reading of the monotonic clock. */
  constructor(unixMs: (monotonicMs: number) => number) {
    this.#unixMs = unixMs;
  }

  /** Follows until the returned function is called; safe to call it twice. */
  follow(filter: HopFilter, emit: Emit): () => void {
    const follower: Follower = {
      filter,
      emit,
      windowStartMs: -Infinity,
      inWindow: 0,
      leftOut: 0,
    };
    this.#followers.add(follower);
    this.listening = true;
    return () => {
      this.#followers.delete(follower);
      this.listening = this.#followers.size > 0;
    };
  }

  /** Shows a finished hop to those who want it; call it while `listening`. Keeps nothing of it. */
  offer(shape: HopShape, record: HopRecord): void {
    let hop: HopEvent | undefined;
    const nowMs = record.timesMs[7]!;
    for (const follower of this.#followers) {
      if (!matchesHop(follower.filter, shape, record)) continue;
      if (nowMs - follower.windowStartMs >= WINDOW_MS) {
        follower.windowStartMs = nowMs;
        follower.inWindow = 0;
      }
      if (follower.inWindow >= EVENTS_PER_WINDOW) {
        follower.leftOut++;
        continue;
      }
      follower.inWindow++;
      hop ??= this.#event(shape, record);
      const event: FeedEvent = { hop, left_out: follower.leftOut };
      if (!follower.emit(event)) follower.leftOut++;
    }
  }

  #event(shape: HopShape, record: HopRecord): HopEvent {
    const times = this.#times;
    computeHopTimes(record, times);
    const endMs = this.#unixMs(record.timesMs[7]!);
    return {
      time: new Date(endMs).toISOString(),
      seq: record.seq,
      trace_id: hexOfWords(record.traceId),
      span_id: hexOfWords(record.spanId),
      method: shape.method,
      route: shape.route,
      ...(record.path === '' ? {} : { path: record.path }),
      status: record.status,
      duration_ms: times.durationNs / 1e6,
      own_ms: times.ownNs / 1e6,
      upstream_ms: times.upstreamNs / 1e6,
      client_wait_ms: times.waitNs / 1e6,
      attempts: record.attemptCount,
      side: shape.side,
      edge_class: shape.edgeClass,
      direction: directionOf(shape.edgeClass, 'split'),
      peer: shape.peer,
      target: shape.target,
      answered_by: record.answeredBy,
      error_type: record.errorType,
      flags: RESPONSE_FLAGS.filter((_, bit) => ((record.flags >>> bit) & 1) === 1),
      stream_class: record.streamClass,
      ...(shape.mirrored === true ? { mirrored: true } : {}),
      bytes_in: record.bytesIn,
      bytes_out: record.bytesOut,
    };
  }
}

const hexOfWords = (words: Uint32Array): string =>
  Array.from(words, (word) => word.toString(16).padStart(8, '0')).join('');
