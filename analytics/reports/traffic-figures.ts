/**
 * Sums of traffic as figures for people and programs: shares, averages and quantiles with their
 * bounds. Pure; the same for every report that shows legs, so that equal names mean equal things.
 */
import { countOf, quantileOf, type Histogram } from '../histogram.ts';
import type { Traffic } from '../traffic.ts';

/** One quantile in milliseconds, with the bounds of the bucket it was read from; null: no hop has one. */
export interface QuantileMs {
  readonly ms: number | null;
  readonly low_ms: number | null;
  /** Also null where the bucket has no end (above 128 s). */
  readonly high_ms: number | null;
}

export type Quantiles<P extends string> = { readonly count: number } & Readonly<
  Record<P, QuantileMs>
>;

export interface TrafficFigures {
  readonly errors: number;
  /** Of its legs; null without legs. */
  readonly error_share: number | null;
  readonly streams: number;
  readonly attempts: number;
  readonly bytes_in: number;
  readonly bytes_out: number;
  /** Legs open at once, on average: sum of durations / window. */
  readonly concurrency: number;
  /** Of effective durations: without waiting for the client. */
  readonly latency: Quantiles<'p50' | 'p90' | 'p99'>;
  /** Of the proxy's own time. */
  readonly own: Quantiles<'p50' | 'p99'>;
}

/** Below this many hops a p99 is one of the few slowest, and says little. */
export const FEW_FOR_P99 = 100;

/** Figures of some hops of a window of `seconds`. */
export function trafficFigures(sums: Traffic, seconds: number): TrafficFigures {
  return {
    errors: sums.errors,
    error_share: ratio(sums.errors, sums.hops),
    streams: sums.streams,
    attempts: sums.attempts,
    bytes_in: sums.bytesIn,
    bytes_out: sums.bytesOut,
    concurrency: sums.durationNs / 1e9 / seconds,
    latency: {
      count: countOf(sums.latency),
      p50: quantileMs(sums.latency, 0.5),
      p90: quantileMs(sums.latency, 0.9),
      p99: quantileMs(sums.latency, 0.99),
    },
    own: {
      count: countOf(sums.own),
      p50: quantileMs(sums.own, 0.5),
      p99: quantileMs(sums.own, 0.99),
    },
  };
}

/** A part of all; null where there is nothing at all. */
export const ratio = (part: number, all: number): number | null => (all === 0 ? null : part / all);

function quantileMs(histogram: Histogram, p: number): QuantileMs {
  const quantile = quantileOf(histogram, p);
  if (quantile === undefined) return { ms: null, low_ms: null, high_ms: null };
  return {
    ms: Math.round(quantile.ns) / 1e6,
    low_ms: quantile.lowNs / 1e6,
    high_ms: Number.isFinite(quantile.highNs) ? quantile.highNs / 1e6 : null,
  };
}
