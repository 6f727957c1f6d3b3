/**
 * Runs the fault matrix: one set of real processes per kind of rig, one mocha test per scenario on
 * it, the load running while the scenario does its harm. Outcomes are collected for the table.
 */
import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import { runRollup } from '../../analytics/jobs/rollup.ts';
import { readGatewayVsMesh } from '../../analytics/reports/gateway-vs-mesh.ts';
import { silentLog } from '../../runtime/log.ts';
import { requireKafka } from '../helpers/kafka-broker.ts';
import { startLoad, type Load } from './load.ts';
import { canMakeDisks, startRig, type Rig, type RigSettings } from './rig.ts';
import { judge, type Exceptions, type Outage, type Outcome } from './verdict.ts';

/** What a scenario has to do its harm with. */
export interface Stage {
  readonly rig: Rig;
  readonly load: Load;
  /** How often to do it. */
  readonly times: number;
  /** Lets the fault last for so long. */
  readonly last: (ms: number) => Promise<void>;
  /** Requests that overlap with `work` may fail. */
  readonly outage: (work: () => Promise<void>) => Promise<void>;
}

export interface Scenario {
  readonly name: string;
  readonly over: readonly RigSettings['transport'][];
  readonly brokers?: 1 | 3;
  readonly smallDisk?: RigSettings['smallDisk'];
  readonly batchBytesMax?: RigSettings['batchBytesMax'];
  /** How often in CI, and in the whole matrix; 0: not there. */
  readonly times: { readonly ci: number; readonly full: number };
  /** Before the load. */
  prepare?(rig: Rig): Promise<void>;
  /** Does its harm while the load runs, and undoes what must be undone. */
  fault(stage: Stage): Promise<void>;
  /** After the verdict. */
  restore?(rig: Rig): Promise<void>;
  readonly exceptions?: Exceptions;
}

/** An outcome as a row of the table. */
export interface Result extends Outcome {
  readonly scenario: string;
  readonly over: string;
  readonly times: number;
  readonly seconds: number;
}

/** Requests before the first harm and after the last: the mesh is well on both sides. */
const AROUND = 50;
/** A test must end some day; what it waits for has deadlines of its own. */
const TEST_WITHIN_MS = { ci: 600_000, full: 3_600_000 } as const;

/**
 * Defines the suites of all scenarios that have `times[set]`. `onResult` gets each outcome; no harm
 * is done more often than `timesMax`.
 */
export function runMatrix(
  scenarios: readonly Scenario[],
  set: 'ci' | 'full',
  onResult: (result: Result) => void = () => undefined,
  timesMax = Infinity,
): void {
  const wanted = scenarios.filter(({ times }) => times[set] > 0);
  const runs = wanted.flatMap((scenario) =>
    scenario.over.map((transport) => ({
      scenario,
      settings: {
        transport,
        brokers: scenario.brokers ?? 1,
        smallDisk: scenario.smallDisk,
        batchBytesMax: scenario.batchBytesMax,
      },
    })),
  );
  for (const group of Map.groupBy(runs, ({ settings }) => nameOf(settings)).values()) {
    const { settings } = group[0]!;
    describe(`over ${nameOf(settings)}`, function () {
      this.timeout(TEST_WITHIN_MS[set]);
      let rig: Rig;
      const startedMs = Date.now();

      before(async function () {
        if (settings.transport === 'kafka') requireKafka(this);
        if (settings.smallDisk !== undefined && !canMakeDisks()) {
          process.stderr.write('\n*** PENDING: a small disk needs root and mount ***\n\n');
          this.skip();
        }
        rig = await startRig(settings);
      });
      after(async () => {
        await (rig as Rig | undefined)?.close();
      });

      for (const [number, { scenario }] of group.entries()) {
        it(scenario.name, async () => {
          const result = await run(
            rig,
            scenario,
            `/${number}`,
            Math.min(scenario.times[set], timesMax),
          );
          onResult({ ...result, over: nameOf(settings) });
          assert.deepEqual(result.faults, [], JSON.stringify(result));
        });
      }

      it('counts the same once its minutes are published', async () => {
        const window = { fromMs: startedMs, toMs: Date.now() };
        const read = (): Promise<number> =>
          readGatewayVsMesh(rig.store, window, 'split').then(({ requests }) => requests);
        const before = await read();
        // Ten minutes on, so that every minute of the run is closed.
        const nowMs = (): number => Date.now() + 600_000;
        await runRollup({ store: rig.store, log: silentLog, retentionDays: 7, nowMs });
        assert.equal(await read(), before);
        // Where no span fits the broker, none is stored.
        const storesNone = group.every(
          ({ scenario }) => scenario.exceptions?.counted === 'too_large',
        );
        assert.equal(before > 0, !storesNone);
      });
    });
  }
}

function nameOf({ transport, brokers, smallDisk, batchBytesMax }: RigSettings): string {
  const limit = batchBytesMax === undefined ? '' : `, batches up to ${batchBytesMax} B`;
  const pipe = transport === 'otlp' ? 'OTLP' : `Kafka (${brokers}${limit})`;
  return smallDisk === undefined ? pipe : `${pipe}, a small disk under the ${smallDisk}`;
}

async function run(
  rig: Rig,
  scenario: Scenario,
  prefix: string,
  times: number,
): Promise<Omit<Result, 'over'>> {
  // The windows of two scenarios must not share a hop.
  await sleep(1_000);
  const startedMs = performance.now();
  await scenario.prepare?.(rig);
  const fromMs = Date.now();
  const load = startLoad(rig.url, prefix);
  const outages: Outage[] = [];
  const stage: Stage = {
    rig,
    load,
    times,
    last: async (ms) => {
      await sleep(ms);
    },
    outage: async (work) => {
      const from = performance.now();
      await work();
      outages.push({ fromMs: from, toMs: performance.now() });
    },
  };
  try {
    const harm = async (): Promise<void> => {
      await load.more(AROUND);
      await scenario.fault(stage);
      await load.more(AROUND);
    };
    await Promise.race([harm(), rig.failure]);
  } finally {
    rig.front.fault = undefined;
    await load.stop();
  }
  const { exceptions = {} } = scenario;
  const toMs = Date.now();
  const evidence = { rig, prefix, sent: load.sent, outages, exceptions, fromMs, toMs };
  const outcome = await judge(evidence);
  await scenario.restore?.(rig);
  const seconds = Math.round((performance.now() - startedMs) / 1000);
  return { scenario: scenario.name, times, seconds, ...outcome };
}
