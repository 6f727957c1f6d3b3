/**
 * The response side held against two other parsers, Node's and h11, over a generated corpus of what
 * upstreams send. AZIMUTH_SEED=n repeats a run and AZIMUTH_SEED=new takes other cases, AZIMUTH_RESPONSE_CASES=n makes it longer.
 */
import assert from 'node:assert/strict';
import { Choice, runSeed } from './corpus/random.ts';
import { responseCase } from './corpus/responses.ts';
import { judgeResponse } from './judge-responses.ts';
import { startH11, type H11Oracle } from './oracles/h11-oracle.ts';
import { ResponseLane } from './response-lane.ts';

const CASES = Number(process.env['AZIMUTH_RESPONSE_CASES'] ?? 2_000);
const LANES = 4;
const SHOWN = 5;

describe('Answers, as two other parsers read them', () => {
  let h11: H11Oracle;
  before(function () {
    h11 = startH11(this);
  });
  after(() => h11.stop());

  const seed = runSeed();

  it(`agree on ${CASES} generated cases, AZIMUTH_SEED=${seed}`, async function () {
    this.timeout(120_000 + CASES * 20);
    const failures: string[] = [];
    const outcomes = new Map<string, number>();
    let next = 0;
    const work = async (): Promise<void> => {
      const lane = await new ResponseLane().start();
      for (let index = next++; index < CASES; index = next++) {
        const given = responseCase(index, new Choice(seed + index));
        const observed = await lane.run(given);
        const verdict = await judgeResponse(given, observed, h11);
        outcomes.set(verdict.outcome, (outcomes.get(verdict.outcome) ?? 0) + 1);
        if (verdict.faults.length > 0) {
          failures.push(
            [
              `case ${index} (${given.name}, ${given.method}, ${given.clientVersion}, ${given.ending}):`,
              ...verdict.faults,
              'upstream: ' + JSON.stringify(given.bytes).slice(0, 800),
              'client: ' + JSON.stringify(observed.received).slice(0, 800),
            ].join('\n  '),
          );
        }
      }
      await lane.stop();
    };
    await Promise.all(Array.from({ length: LANES }, work));
    assert.equal(
      failures.length,
      0,
      `${failures.length} of ${CASES} cases, AZIMUTH_SEED=${seed}\n${failures.slice(0, SHOWN).join('\n')}`,
    );
    for (const outcome of ['relayed', 'refused', 'cut']) {
      assert.ok((outcomes.get(outcome) ?? 0) > CASES / 50, JSON.stringify([...outcomes]));
    }
  });
});
