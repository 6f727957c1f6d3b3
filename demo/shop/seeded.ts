/**
 * Seeded chance for the shop and its load. Draws depend on a key (request number, service,
 * operation), never on the order of events: a run repeats its latencies and faults whatever the
 * machine does in between, so two runs differ only in what was done to the mesh.
 */

/** Draws of one key, each in [0, 1). */
export type Draw = () => number;

/** The same key gives the same draws. */
export function drawsOf(...key: readonly (string | number)[]): Draw {
  // FNV-1a over the key, then mulberry32: both public domain, good enough for a demo.
  let state = 0x811c9dc5;
  for (const char of key.join('\n')) {
    state = Math.imul(state ^ char.charCodeAt(0), 0x01000193) >>> 0;
  }
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** A lognormal draw: `median` times e^(sigma·z). The shape that service latencies have. */
export function lognormal(draw: Draw, median: number, sigma: number): number {
  const radius = Math.sqrt(-2 * Math.log(1 - draw()));
  return median * Math.exp(sigma * radius * Math.cos(2 * Math.PI * draw()));
}

/** Header that carries the request's number from the load through every service. */
export const REQUEST_NUMBER_HEADER = 'x-shop-request';
/** Header of an answer whose failure the shop made up itself: not an error of the mesh. */
export const FAULT_HEADER = 'x-shop-fault';
