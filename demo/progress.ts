/** The demo's progress: one line a step, with the seconds since the demo's start. */

export interface Progress {
  title(text: string): void;
  step(name: string, text: string): void;
  /** Several lines as they are. */
  text(text: string): void;
  /** Seconds since the process started. */
  elapsedS(): number;
}

export function createProgress(out: { write(text: string): unknown }): Progress {
  // Monotonic time counts from the start of the process.
  const elapsedS = (): number => performance.now() / 1000;
  return {
    elapsedS,
    title: (text) => void out.write(`\n  ${text}\n\n`),
    step: (name, text) =>
      void out.write(`  ${elapsedS().toFixed(1).padStart(6)} s  ${name.padEnd(9)}  ${text}\n`),
    text: (text) => void out.write(text),
  };
}
