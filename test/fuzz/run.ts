/**
 * `npm run fuzz -- --seconds N --seed S`: the fuzz target over both codecs for as long as you like.
 * Cases run in a thread of their own, so that one that never ends is seen from outside. The first
 * case that fails ends the run, with its seed; `--cases 1 --seed S` repeats it.
 */
import { parseArgs } from 'node:util';
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads';
import { fuzzCase } from './codecs.ts';

/** A case takes milliseconds; a machine may stall for seconds. */
const HANG_MS = 60_000;
/** Growth of the heap, behind collections, above which something is kept for ever. */
const GROWTH_MIB_MAX = 256;
/** Cases after which the heap has its usual size. */
const WARM_CASES = 5_000;
const SEEDS = 2 ** 31;

interface Run {
  readonly seed: number;
  readonly untilMs: number;
  readonly cases: number;
  /** Cases done, and the seed of the one at hand. */
  readonly progress: Int32Array;
}

interface Outcome {
  readonly failure?: string;
  readonly peakMib: number;
}

function runCases({ seed, untilMs, cases, progress }: Run): Outcome {
  let warmBytes = Infinity;
  let peakBytes = 0;
  for (let done = 0; done < cases && Date.now() < untilMs; done++) {
    const at = (seed + done) % SEEDS;
    Atomics.store(progress, 1, at);
    try {
      fuzzCase(at);
    } catch (error) {
      return {
        failure: `seed ${at}: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`,
        peakMib: peakBytes / 2 ** 20,
      };
    }
    Atomics.store(progress, 0, done + 1);
    if (done % 1_000 !== 0) continue;
    const { heapUsed, external } = process.memoryUsage();
    peakBytes = Math.max(peakBytes, heapUsed + external);
    if (done < WARM_CASES) continue;
    warmBytes = Math.min(warmBytes, heapUsed + external);
    if (heapUsed + external - warmBytes > GROWTH_MIB_MAX * 2 ** 20) {
      return {
        failure: `memory grew by more than ${GROWTH_MIB_MAX} MiB up to seed ${at}`,
        peakMib: peakBytes / 2 ** 20,
      };
    }
  }
  return { peakMib: peakBytes / 2 ** 20 };
}

function watch(): void {
  const { values } = parseArgs({
    options: { seconds: { type: 'string' }, seed: { type: 'string' }, cases: { type: 'string' } },
  });
  const number = (text: string | undefined, otherwise: number): number => {
    const value = text === undefined ? otherwise : Number(text);
    if (!Number.isSafeInteger(value) || value < 0) throw new Error(`not a count: ${String(text)}`);
    return value;
  };
  const seed = number(values.seed, Math.floor(Math.random() * SEEDS)) % SEEDS;
  const cases = number(values.cases, Number.MAX_SAFE_INTEGER);
  const seconds = number(values.seconds, values.cases === undefined ? 60 : 86_400);
  const progress = new Int32Array(new SharedArrayBuffer(8));
  console.log(`fuzzing both codecs, --seed ${seed}`);
  const run: Run = { seed, untilMs: Date.now() + seconds * 1_000, cases, progress };
  const worker = new Worker(new URL(import.meta.url), { workerData: run });
  let before = -1;
  const watchdog = setInterval(() => {
    const done = Atomics.load(progress, 0);
    if (done === before) fail(`seed ${Atomics.load(progress, 1)} does not end`);
    before = done;
  }, HANG_MS);
  const fail = (why: string): never => {
    console.error(`FAILED after ${Atomics.load(progress, 0)} cases: ${why}`);
    process.exit(1);
  };
  worker.on('error', (error) => fail(String(error)));
  worker.on('message', ({ failure, peakMib }: Outcome) => {
    clearInterval(watchdog);
    if (failure !== undefined) fail(failure);
    console.log(
      `${Atomics.load(progress, 0)} cases, none failed; heap at most ${peakMib.toFixed(0)} MiB`,
    );
  });
}

if (isMainThread) watch();
else parentPort!.postMessage(runCases(workerData as Run));
