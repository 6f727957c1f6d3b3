/** Choices from a seeded stream: the same seed, the same corpus. */
import { seededRandom } from '../../helpers/prng.ts';

export class Choice {
  readonly #random: () => number;

  constructor(seed: number) {
    this.#random = seededRandom(seed);
  }

  /** An integer in [0, below). */
  below(below: number): number {
    return Math.floor(this.#random() * below);
  }

  between(low: number, high: number): number {
    return low + this.below(high - low + 1);
  }

  chance(share: number): boolean {
    return this.#random() < share;
  }

  of<T>(items: readonly T[]): T {
    return items[this.below(items.length)]!;
  }

  /** A string of `length` characters of an alphabet. */
  text(alphabet: string, length: number): string {
    let out = '';
    for (let i = 0; i < length; i++) out += alphabet[this.below(alphabet.length)]!;
    return out;
  }

  /** A position in [low, high] of a text, for a cut or an insertion. */
  cuts(bytes: number, most: number): number[] {
    const cuts = new Set<number>();
    for (let i = this.between(0, most); i > 0; i--)
      cuts.add(this.between(1, Math.max(1, bytes - 1)));
    return [...cuts].sort((a, b) => a - b);
  }
}

/** Of a run that nobody gave a seed: a change of the code alone decides whether it passes. */
const USUAL_SEED = 20_261_125;

/** The seed of this run: $AZIMUTH_SEED, where `new` takes another each time. Whoever uses it prints it. */
export function runSeed(): number {
  const given = process.env['AZIMUTH_SEED'] ?? '';
  if (given === 'new') return Math.floor(Math.random() * 2 ** 31);
  return given === '' ? USUAL_SEED : Number(given);
}
