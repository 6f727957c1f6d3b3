/**
 * What every subcommand of `azimuth` is. Its own file, so that bin/main.ts may load the commands and
 * the commands need not know bin/main.ts.
 */
/** What a file in bin/commands/ exports. */
export interface Command {
  /** Usage with examples, shown by `--help`. */
  readonly help: string;
  /** Runs with the arguments after the subcommand; resolves with the exit code. */
  run(args: readonly string[]): Promise<number>;
}
