import assert from 'node:assert/strict';
import { jobMetrics } from '../../../analytics/metrics.ts';
import type { OnProgress } from '../../../analytics/jobs/progress.ts';
import {
  createScheduler,
  untilNextTurnMs,
  type JobOutcome,
  type Timers,
} from '../../../analytics/scheduler.ts';
import { silentLog } from '../../../runtime/log.ts';

/** A clock that stands still until told, and remembers what it is asked to call. */
class ManualTimers implements Timers {
  now = Date.UTC(2026, 0, 31, 12, 0, 40);
  readonly waiting: { delayMs: number; call: () => void }[] = [];
  nowMs(): number {
    return this.now;
  }
  after(delayMs: number, call: () => void): () => void {
    const entry = { delayMs, call };
    this.waiting.push(entry);
    return () => void this.waiting.splice(this.waiting.indexOf(entry), 1);
  }
  fire(): void {
    const entry = this.waiting.shift();
    assert.ok(entry, 'no turn was planned');
    this.now += entry.delayMs;
    entry.call();
  }
}

const OUTCOME: JobOutcome = { published: 2, reopened: 1, publishedUntilMs: 120_000 };

/** Lets promises that are ready go on. */
const settle = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

describe('scheduler', () => {
  it('plans its turns a second after minutes close', () => {
    const at = (s: number): number => Date.UTC(2026, 0, 31, 12, 0, s);
    assert.equal(untilNextTurnMs(at(0)), 31_000);
    assert.equal(untilNextTurnMs(at(31)), 60_000);
    assert.equal(untilNextTurnMs(at(40)), 51_000);
  });

  it('runs at once, then each minute, and never twice at a time', async () => {
    const timers = new ManualTimers();
    const ends: (() => void)[] = [];
    const scheduler = createScheduler({
      name: 'job',
      log: silentLog,
      timers,
      run: () => new Promise((resolve) => ends.push(() => resolve(OUTCOME))),
    });
    scheduler.start();
    scheduler.start();
    assert.equal(ends.length, 1);
    await settle();
    assert.equal(timers.waiting.length, 0, 'the next turn waits for the end of this one');
    ends[0]?.();
    await settle();
    assert.deepEqual(timers.waiting.map((w) => w.delayMs), [51_000]); // prettier-ignore
    assert.equal(scheduler.state().succeededMs, timers.now);
    timers.fire();
    assert.equal(ends.length, 2);
    ends[1]?.();
    await scheduler.stop();
  });

  it('tries again soon after a failure, and says why it failed until it succeeds', async () => {
    const timers = new ManualTimers();
    let broken = true;
    const scheduler = createScheduler({
      name: 'job',
      log: silentLog,
      timers,
      run: () => (broken ? Promise.reject(new Error('store away')) : Promise.resolve(OUTCOME)),
    });
    scheduler.start();
    await settle();
    assert.equal(scheduler.state().failure, 'store away');
    assert.equal(scheduler.state().succeededMs, undefined);
    assert.deepEqual(timers.waiting.map((w) => w.delayMs), [5000]); // prettier-ignore
    broken = false;
    timers.fire();
    await settle();
    assert.equal(scheduler.state().failure, undefined);
    await scheduler.stop();
  });

  it('says how far the run under way is, and sums up what runs did', async () => {
    const timers = new ManualTimers();
    let told: OnProgress = () => undefined;
    let end = (): void => undefined;
    const scheduler = createScheduler({
      name: 'job',
      log: silentLog,
      timers,
      run: (onProgress) => {
        told = onProgress;
        return new Promise((resolve) => (end = () => resolve(OUTCOME)));
      },
    });
    const lines = (nowMs: number): string[] =>
      jobMetrics([scheduler], nowMs)
        .toString()
        .split('\n')
        .filter((line) => line !== '' && !line.startsWith('#'));
    assert.ok(lines(0).includes('azimuth_analytics_job_lag_seconds{job="job"} NaN'));
    scheduler.start();
    told({ fromMs: 0, untilMs: 30_000, goalMs: 120_000 });
    assert.ok(lines(90_000).includes('azimuth_analytics_job_progress{job="job"} 0.25'));
    assert.ok(lines(90_000).includes('azimuth_analytics_job_lag_seconds{job="job"} 60'));
    timers.now += 7000;
    end();
    await settle();
    assert.deepEqual(lines(180_000), [
      'azimuth_analytics_job_lag_seconds{job="job"} 60',
      'azimuth_analytics_job_progress{job="job"} 1',
      'azimuth_analytics_job_duration_seconds{job="job"} 7',
      'azimuth_analytics_job_runs_total{job="job",outcome="success"} 1',
      'azimuth_analytics_job_runs_total{job="job",outcome="failure"} 0',
      'azimuth_analytics_job_minutes_total{job="job"} 2',
      'azimuth_analytics_job_minutes_reopened_total{job="job"} 1',
    ]);
    await scheduler.stop();
  });

  it('stops after the run under way and plans no other', async () => {
    const timers = new ManualTimers();
    let end = (): void => undefined;
    const scheduler = createScheduler({
      name: 'job',
      log: silentLog,
      timers,
      run: () => new Promise((resolve) => (end = () => resolve(OUTCOME))),
    });
    scheduler.start();
    let stopped = false;
    const stopping = scheduler.stop().then(() => (stopped = true));
    await settle();
    assert.equal(stopped, false);
    end();
    await stopping;
    assert.equal(timers.waiting.length, 0);
  });

  it('plans no turn once stopped between two', async () => {
    const timers = new ManualTimers();
    const scheduler = createScheduler({
      name: 'job',
      log: silentLog,
      timers,
      run: () => Promise.resolve(OUTCOME),
    });
    scheduler.start();
    await settle();
    assert.equal(timers.waiting.length, 1);
    await scheduler.stop();
    await scheduler.stop();
    assert.equal(timers.waiting.length, 0);
  });
});
