/**
 * How much of a window is read by reports that must look at whole traces. What a person asks for
 * (minutes, an hour) is read whole; of more, every n-th trace, chosen by a hash of its id, so that
 * memory and time stay bounded and a second reading gives the same.
 */
import type { StoreClient } from '../../store/client.ts';
import { readTraffic, type WindowTraffic } from '../traffic.ts';
import type { Window } from '../window.ts';
import { count } from './numbers.ts';

/**
 * Hops read at once, at most: so many were grouped by trace in 3.6 s on two busy cores, within the
 * 1 GiB that the embedded store grants a query.
 */
const HOPS_MAX = 2_000_000;

export interface SampledWindow {
  readonly traffic: WindowTraffic;
  /** Hops of the window, counted once. */
  readonly hops: number;
  /** Every so many-th trace is read: 1 is all. */
  readonly every: number;
  /** Parameters of hops_sampled.sql. */
  readonly params: Readonly<Record<string, number>>;
}

/**
 * Counts a window and decides.
 * @throws AzimuthError of the store's.
 */
export async function sampledWindow(
  store: StoreClient,
  window: Window,
  hopsMax = HOPS_MAX,
): Promise<SampledWindow> {
  const traffic = await readTraffic(store, window);
  let hops = 0;
  for (const sums of traffic.byEdgeClass.values()) hops += sums.hops;
  const every = Math.max(1, Math.ceil(hops / hopsMax));
  return { traffic, hops, every, params: { from_ms: window.fromMs, to_ms: window.toMs, every } };
}

/** What a reader must know; nothing when all was read. */
export const samplingWarning = (every: number): string[] =>
  every === 1
    ? []
    : [`The window is busy: one in ${count(every)} traces was read, whole; counts are of these.`];
