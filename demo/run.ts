/**
 * `npm run demo`: starts a whole mesh on this machine (store, collector, analytics, a gateway, a
 * shop of six services with a sidecar each), sends real requests through it, waits until every hop
 * is stored, prints the gateway-versus-mesh report and says how to look further.
 *
 * Every part runs as the process that a user would run (`azimuth store`, `azimuth gateway`, …) by a
 * mesh file in .azimuth/demo; only order, ports and progress are the demo's. Exits with 0 when every
 * request was counted once in both perspectives and every hop is accounted for, else with 1.
 */
import { AzimuthError } from '../runtime/errors.ts';
import { DemoFailure } from './processes.ts';
import { HELP, parseOptions } from './options.ts';
import { runDemo } from './steps.ts';

try {
  const options = parseOptions(process.argv.slice(2));
  if (options === undefined) process.stdout.write(HELP.trimStart());
  else process.exitCode = await runDemo(options);
} catch (error) {
  if (!(error instanceof AzimuthError) && !(error instanceof DemoFailure)) throw error;
  process.stderr.write(`demo: ${error.message}\n`);
  process.exitCode = error instanceof AzimuthError ? (error.kind.exitCode ?? 1) : 1;
}
