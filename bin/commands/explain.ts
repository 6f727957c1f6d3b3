/** `azimuth explain TRACE`: one request as a waterfall with the sum of its parts. Reads only. */
import { parseArgs } from 'node:util';
import { explainTrace, slowestTrace } from '../../analytics/reports/explain.ts';
import { explainText } from '../../analytics/reports/explain-text.ts';
import { parseWindow } from '../../analytics/window.ts';
import { storePart } from '../../mesh/parts.ts';
import { AzimuthError } from '../../runtime/errors.ts';
import { createStoreClient } from '../../store/client.ts';
import type { Command } from '../command.ts';
import { meshFromArgs } from '../mesh-option.ts';
import { terminalOf } from '../terminal.ts';

export const command: Command = {
  help: `
Usage: azimuth explain TRACE [options]
       azimuth explain --slowest [--last 5m] [--route TEMPLATE]

One request from outside: who called whom, how long each proxy held it, and into which parts its
time splits; the parts add up.

  --slowest        the slowest request of a window instead of a named one
  --last 5m        the window that ends now (default 5m); --from T --to T
  --route TEMPLATE only requests of this route, as it entered
  --json           for programs
  --mesh FILE      which mesh file names the store

Examples:
  azimuth explain 4bf92f3577b34da6a3ce929d0e0e4736
  azimuth explain --slowest --last 15m --route "/api/products/{id}"
`,
  async run(args) {
    const { values, positionals } = parseArgs({
      args: [...args],
      allowPositionals: true,
      options: {
        slowest: { type: 'boolean', default: false },
        last: { type: 'string' },
        from: { type: 'string' },
        to: { type: 'string' },
        route: { type: 'string' },
        json: { type: 'boolean', default: false },
        mesh: { type: 'string' },
      },
    });
    const [named] = positionals;
    if (positionals.length > 1 || (named === undefined) !== values.slowest) {
      throw new AzimuthError('AZ_USAGE', 'name one TRACE id, or ask for the --slowest request');
    }
    const store = createStoreClient(storePart(meshFromArgs(values)));
    try {
      const trace =
        named ?? (await slowestTrace(store, parseWindow(values, Date.now()), values.route));
      const explanation = await explainTrace(store, trace);
      process.stdout.write(
        values.json
          ? JSON.stringify(explanation, null, 2) + '\n'
          : '\n' + explainText(explanation, terminalOf(process.stdout, process.env)) + '\n',
      );
      return 0;
    } finally {
      await store.close();
    }
  },
};
