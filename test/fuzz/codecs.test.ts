import { runSeed } from '../conformance/corpus/random.ts';
import { fuzzCase } from './codecs.ts';

const CASES = 3_000;

describe('Both codecs', () => {
  const fixed = 20_261_125;
  for (const [what, first] of [
    ['the same bytes on every run', fixed],
    ['new bytes on every run', runSeed()],
  ] as const) {
    it(`take whatever bytes, in whatever pieces: ${what} (seed ${first})`, function () {
      this.timeout(120_000);
      for (let seed = first; seed < first + CASES; seed++) {
        try {
          fuzzCase(seed);
        } catch (error) {
          throw new Error(`npm run fuzz -- --cases 1 --seed ${seed}`, { cause: error });
        }
      }
    });
  }
});
