/**
 * Seeded random numbers (mulberry32), the only ones of the project: a report of the same data says
 * the same, and a test that failed can be run again by its seed. Not for anything secret.
 */

/** Numbers in [0, 1) that follow from the seed (its low 32 bits). */
export function seededRandom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}
