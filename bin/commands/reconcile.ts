/** `azimuth reconcile`: prints whether every hop is accounted for; exit code 1 when one is not. */
import { parseArgs } from 'node:util';
import { hasFault, reconcile } from '../../analytics/reconcile.ts';
import { reconcileText } from '../../analytics/reports/reconcile-text.ts';
import { parseWindow } from '../../analytics/window.ts';
import { storePart } from '../../mesh/parts.ts';
import { createStoreClient } from '../../store/client.ts';
import type { Command } from '../command.ts';
import { meshFromArgs } from '../mesh-option.ts';

export const command: Command = {
  help: `
Usage: azimuth reconcile [options]

Compares what proxies say they finished with what the store holds, process by process, and
exits with 1 when a hop is unexplained.

  --last 1h         processes alive in this window (default 1h)
  --from T --to T   the same by ISO 8601 instants, UTC where no zone stands
  --json            everything, with the ranges of missing sequence numbers
  --mesh FILE       which mesh file names the store

Example:
  azimuth reconcile --last 10m || echo "something is missing"
`,
  async run(args) {
    const { values } = parseArgs({
      args: [...args],
      options: {
        last: { type: 'string' },
        from: { type: 'string' },
        to: { type: 'string' },
        json: { type: 'boolean', default: false },
        mesh: { type: 'string' },
      },
    });
    const window = parseWindow(values, Date.now(), '1h');
    const part = storePart(meshFromArgs(values));
    const store = createStoreClient(part);
    try {
      const result = await reconcile(store, {
        ...window,
        retentionDays: part.retention_days,
        edges: true,
      });
      process.stdout.write(
        values.json
          ? JSON.stringify(result, null, 2) + '\n'
          : '\n' + reconcileText(result, process.stdout.columns || 110) + '\n',
      );
      return hasFault(result) ? 1 : 0;
    } finally {
      await store.close();
    }
  },
};
