/** The jobs of the analytics process, for its `/metrics`: how far each is, and what it did. */
import { MetricsText, type MetricSample } from '../runtime/metrics-text.ts';
import { shareDone } from './jobs/progress.ts';
import type { JobState, Scheduler } from './scheduler.ts';

/**
 * Series by job. A job that is well has a lag of less than three minutes: a minute closes 30 s after
 * its end, and attribution waits for traces that began in it.
 */
export function jobMetrics(
  jobs: readonly Pick<Scheduler, 'name' | 'state'>[],
  nowMs: number,
): MetricsText {
  const of = (value: (state: JobState) => number): MetricSample[] =>
    jobs.map(({ name, state }) => ({ labels: { job: name }, value: value(state()) }));
  const outcomes = (outcome: string, value: (state: JobState) => number): MetricSample[] =>
    of(value).map((sample) => ({ ...sample, labels: { ...sample.labels, outcome } }));
  return new MetricsText()
    .gauge(
      'azimuth.analytics.job.lag',
      's',
      'Age of the end of the newest published minute; NaN before the first run.',
      of(({ publishedUntilMs }) => (nowMs - (publishedUntilMs ?? NaN)) / 1000),
    )
    .gauge(
      'azimuth.analytics.job.progress',
      '1',
      'Share of the run under way that is done; 1 between runs.',
      of(({ progress, successes }) =>
        progress === undefined ? Number(successes > 0) : shareDone(progress),
      ),
    )
    .gauge(
      'azimuth.analytics.job.duration',
      's',
      'What the last run took.',
      of(({ durationMs }) => durationMs / 1000),
    )
    .counter('azimuth.analytics.job.runs', '{run}', 'Runs that ended.', [
      ...outcomes('success', ({ successes }) => successes),
      ...outcomes('failure', ({ failures }) => failures),
    ])
    .counter(
      'azimuth.analytics.job.minutes',
      '{minute}',
      'Minutes published for the first time.',
      of(({ published }) => published),
    )
    .counter(
      'azimuth.analytics.job.minutes_reopened',
      '{minute}',
      'Minutes published anew since rows came late.',
      of(({ reopened }) => reopened),
    );
}
