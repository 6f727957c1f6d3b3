/**
 * Restarts, reloads and kills of workers under load, 20 times each, with the figures of the run on
 * stdout. Not in CI: it takes minutes. Run it with `npm run test:full`.
 */
import assert from 'node:assert/strict';
import { LEDGER_EVENT } from '../../telemetry/names.ts';
import { until } from '../helpers/until.ts';
import { underLoad, WorkersLab, type WorkerLedger } from '../helpers/workers-lab.ts';

const ROUNDS = 20;
const field = (name: string): string => `${LEDGER_EVENT}.${name}`;

const report = (what: string, figures: Record<string, unknown>): void => {
  process.stdout.write(`${JSON.stringify({ what, rounds: ROUNDS, ...figures })}\n`);
};

/** Both workers of now; there are moments with one. */
const both = (lab: WorkersLab): Promise<WorkerLedger[]> =>
  until(async () => {
    const workers = await lab.workers();
    return workers.length === 2 && workers;
  });

/** Every boot that closed in order stated exactly what arrived of it, without a gap. */
function assertComplete(lab: WorkersLab): void {
  for (const closing of lab.ledgers.filter((l) => l.get(field('closing')) === true)) {
    const boot = closing.get('azimuth.boot_id') as string;
    const finished = Number(closing.get(field('hops_finished')));
    const seqs = lab.seqs.get(boot) ?? new Set();
    assert.equal(seqs.size, finished, `boot ${boot}`);
    if (finished > 0) assert.equal(Math.max(...seqs), finished, `boot ${boot}`);
  }
}

describe('Two workers under load', function () {
  this.timeout(900_000);
  let lab: WorkersLab;
  beforeEach(async () => {
    lab = await new WorkersLab().start();
  });
  afterEach(() => lab.stop());

  it(`has one worker restarted ${ROUNDS} times: no request fails, no record is lost`, async () => {
    const answered = await underLoad(lab, async () => {
      for (let round = 0; round < ROUNDS; round++) {
        const before = (await both(lab))[round % 2]!;
        process.kill(before.pid, 'SIGTERM');
        await until(async () => {
          const now = (await both(lab)).find(({ worker }) => worker === before.worker);
          return now !== undefined && now.boot_id !== before.boot_id;
        });
      }
    });
    await lab.stopGateway();
    assert.equal(lab.recorded, answered.length);
    assert.equal(lab.seqs.size, ROUNDS + 2);
    assertComplete(lab);
    report('restart of one of two workers', {
      answered: answered.length,
      failed: 0,
      sent_again: lab.retried,
      recorded: lab.recorded,
      boots: lab.seqs.size,
    });
  });

  it(`takes a changed mesh file ${ROUNDS} times: no request fails, no record is lost`, async () => {
    const answered = await underLoad(lab, async () => {
      for (let round = 1; round <= ROUNDS; round++) {
        await lab.changeMesh((text) => text.replace('{rest}', `{rest${round}}`));
        await until(async () => {
          const { generation } = await lab.adminJson<{ generation: number }>('/config');
          return generation === round + 1;
        });
        await until(() => lab.generations.has(round + 1));
      }
    });
    await lab.stopGateway();
    assert.equal(lab.recorded, answered.length);
    assert.equal(lab.generations.size, ROUNDS + 1);
    assertComplete(lab);
    report('reload', {
      answered: answered.length,
      failed: 0,
      sent_again: lab.retried,
      recorded: lab.recorded,
      generations: lab.generations.size,
    });
  });

  it(`has a worker killed ${ROUNDS} times: what is lost lies within the bounds that are stated`, async () => {
    const stated = (): Map<string, unknown>[] =>
      lab.ledgers.filter((l) => l.has(field('ended_by_unix_ms')));
    const answered = await underLoad(lab, async () => {
      for (let round = 0; round < ROUNDS; round++) {
        const victim = await until(async () => {
          const found = (await both(lab))[round % 2]!;
          return found.hops_finished > 100 && found;
        });
        process.kill(victim.pid, 'SIGKILL');
        await until(() => stated().some((l) => l.get('azimuth.boot_id') === victim.boot_id));
      }
      await both(lab);
    });
    await lab.stopGateway();
    const boundsMs: number[] = [];
    let queuedLost = 0;
    let counted = 0;
    for (const ledger of stated()) {
      const boot = ledger.get('azimuth.boot_id') as string;
      const last = Number(ledger.get(field('last_seq')));
      const arrived = [...(lab.seqs.get(boot) ?? [])].filter((seq) => seq <= last).length;
      assert.ok(arrived >= Number(ledger.get(field('emitted'))), `boot ${boot}`);
      queuedLost += last - arrived;
      counted += last;
      boundsMs.push(
        Number(ledger.get(field('ended_by_unix_ms'))) - Number(ledger.get('time_unix_ms')),
      );
    }
    assert.equal(boundsMs.length, ROUNDS);
    assertComplete(lab);
    const lost = answered.length - lab.recorded;
    assert.ok(lost >= queuedLost);
    boundsMs.sort((a, b) => a - b);
    report('kill -9 of a worker', {
      answered: answered.length,
      failed: 0,
      sent_again: lab.retried,
      recorded: lab.recorded,
      counted_by_the_killed: counted,
      lost,
      lost_of_those_counted: queuedLost,
      bounds_ms: { median: boundsMs[ROUNDS / 2], max: boundsMs.at(-1) },
    });
  });
});
