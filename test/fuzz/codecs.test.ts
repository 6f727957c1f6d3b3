import { runSeed } from '../conformance/corpus/random.ts';
import { fuzzCase } from './codecs.ts';

const CASES = 10_000;

describe('Both codecs', () => {
  const first = runSeed();

  it(`take whatever bytes, in whatever pieces (AZIMUTH_SEED=${first})`, function () {
    this.timeout(120_000);
    for (let seed = first; seed < first + CASES; seed++) {
      try {
        fuzzCase(seed);
      } catch (error) {
        throw new Error(`npm run fuzz -- --cases 1 --seed ${seed}`, { cause: error });
      }
    }
  });
});
