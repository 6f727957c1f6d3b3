/**
 * Options of a benchmark on its command line, with `--help`. What nobody knows is said in one line
 * and ends the process, before anything is started.
 */
import { parseArgs, type ParseArgsConfig } from 'node:util';
import { messageOf } from '../../runtime/errors.ts';

/** The values of `options`; ends the process for `--help` (0) and for what it does not know (64). */
export function benchOptions<const T extends NonNullable<ParseArgsConfig['options']>>(
  help: string,
  options: T,
) {
  if (process.argv.includes('--help')) {
    process.stdout.write(help);
    process.exit(0);
  }
  try {
    return parseArgs({ options }).values;
  } catch (error) {
    process.stderr.write(`${messageOf(error)} (--help names the options)\n`);
    process.exit(64);
  }
}
