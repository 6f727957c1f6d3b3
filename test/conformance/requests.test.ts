/**
 * The request side held against two other parsers, Node's and h11, over a generated corpus. Where
 * one of them refuses, the proxy refuses; where both read a request, the upstream gets exactly that
 * one, or the proxy is stricter for a reason that stands in strictness.ts.
 *
 * AZIMUTH_SEED=n repeats a run and AZIMUTH_SEED=new takes other cases, AZIMUTH_CASES=n makes it longer.
 */
import assert from 'node:assert/strict';
import { Choice, runSeed } from './corpus/random.ts';
import { requestCase } from './corpus/requests.ts';
import { judgeRequests } from './judge-requests.ts';
import { startH11, type H11Oracle } from './oracles/h11-oracle.ts';
import { RequestLane, SENTINEL } from './request-lane.ts';

const CASES = Number(process.env['AZIMUTH_CASES'] ?? 5_000);
const LANES = 4;
/** Failures shown; the rest is only counted. */
const SHOWN = 5;

describe('Requests, as two other parsers read them', () => {
  let h11: H11Oracle;
  before(function () {
    h11 = startH11(this);
  });
  after(() => h11.stop());

  const seed = runSeed();

  it(`agree on ${CASES} generated cases, AZIMUTH_SEED=${seed}`, async function () {
    this.timeout(120_000 + CASES * 20);
    const failures: string[] = [];
    let forwarded = 0;
    let refused = 0;
    let next = 0;
    const work = async (side: 'ingress' | 'inbound'): Promise<void> => {
      const lane = await new RequestLane(side).start();
      for (let index = next++; index < CASES; index = next++) {
        const generated = requestCase(index, new Choice(seed + index));
        const observed = await lane.run(generated);
        const verdict = await judgeRequests(generated.bytes, observed, side === 'ingress', h11);
        forwarded += verdict.forwarded;
        refused += verdict.refused;
        if (verdict.faults.length > 0) {
          failures.push(
            [
              `case ${index} (${generated.name}) at ${side}:`,
              ...verdict.faults,
              JSON.stringify(generated.bytes + SENTINEL).slice(0, 1_500),
              'upstream: ' +
                JSON.stringify(observed.connections.map((c) => c.received)).slice(0, 800),
              'client: ' + JSON.stringify(observed.answers).slice(0, 500),
            ].join('\n  '),
          );
        }
      }
      await lane.stop();
    };
    await Promise.all(
      Array.from({ length: LANES }, (_, i) => work(i % 2 === 0 ? 'ingress' : 'inbound')),
    );
    assert.equal(
      failures.length,
      0,
      `${failures.length} of ${CASES} cases, AZIMUTH_SEED=${seed}\n${failures.slice(0, SHOWN).join('\n')}`,
    );
    // A corpus of which nearly nothing gets through, or nearly all, would show little.
    assert.ok(
      forwarded > CASES / 4 && refused > CASES / 10,
      `${forwarded} forwarded, ${refused} refused`,
    );
  });
});
