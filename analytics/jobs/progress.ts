/** How far a run of a job is, for whoever waits for it: a bar in the terminal, `/readyz`, `/metrics`. */

export interface JobProgress {
  /** Where this run began, Unix milliseconds. */
  readonly fromMs: number;
  /** Everything before is published. */
  readonly untilMs: number;
  /** Where this run will end. */
  readonly goalMs: number;
}

export type OnProgress = (progress: JobProgress) => void;

/** Part of the run that is done, 0..1; 1 where there is nothing to do. */
export function shareDone({ fromMs, untilMs, goalMs }: JobProgress): number {
  return goalMs <= fromMs ? 1 : Math.min(1, Math.max(0, (untilMs - fromMs) / (goalMs - fromMs)));
}
