/** `azimuth report NAME`: reads the store once and prints one report. Changes nothing. */
import { parseArgs } from 'node:util';
import { parsePerspective } from '../../analytics/api.ts';
import { readGatewayVsMesh } from '../../analytics/reports/gateway-vs-mesh.ts';
import {
  gatewayVsMeshCsv,
  gatewayVsMeshText,
} from '../../analytics/reports/gateway-vs-mesh-forms.ts';
import { parseWindow } from '../../analytics/window.ts';
import { storePart } from '../../mesh/parts.ts';
import { AzimuthError } from '../../runtime/errors.ts';
import { createStoreClient } from '../../store/client.ts';
import type { Command } from '../command.ts';
import { meshFromArgs } from '../mesh-option.ts';

export const command: Command = {
  help: `
Usage: azimuth report gateway-vs-mesh [options]

Load and latency of the gateway and of the mesh, by direction.

  --last 5m                  the window that ends now: 30s, 5m, 1h30m, 2d (default 5m)
  --from T --to T            a window of ISO 8601 instants, UTC where no zone stands
  --perspective split|whole  whether the gateway's internal leg is mesh (split) or gateway (whole)
  --json | --csv             for programs; quantiles with the bounds of their buckets
  --mesh FILE                which mesh file names the store

Examples:
  azimuth report gateway-vs-mesh --last 15m --perspective whole
  azimuth report gateway-vs-mesh --from 2026-01-31T12:00Z --to 2026-01-31T13:00Z --csv > report.csv
`,
  async run(args) {
    const { values, positionals } = parseArgs({
      args: [...args],
      allowPositionals: true,
      options: {
        last: { type: 'string' },
        from: { type: 'string' },
        to: { type: 'string' },
        perspective: { type: 'string' },
        json: { type: 'boolean', default: false },
        csv: { type: 'boolean', default: false },
        mesh: { type: 'string' },
      },
    });
    if (positionals.length !== 1 || positionals[0] !== 'gateway-vs-mesh') {
      throw new AzimuthError('AZ_USAGE', 'name one report; there is: gateway-vs-mesh');
    }
    if (values.json && values.csv) throw new AzimuthError('AZ_USAGE', 'give --json or --csv');
    const window = parseWindow(values, Date.now());
    const perspective = parsePerspective(values.perspective);
    const part = storePart(meshFromArgs(values));
    const store = createStoreClient(part);
    try {
      const report = await readGatewayVsMesh(store, window, perspective, {
        retentionDays: part.retention_days,
      });
      process.stdout.write(
        values.json
          ? JSON.stringify(report, null, 2) + '\n'
          : values.csv
            ? gatewayVsMeshCsv(report)
            : '\n' + gatewayVsMeshText(report, terminalOf(process.stdout, process.env)) + '\n',
      );
      return 0;
    } finally {
      await store.close();
    }
  },
};

/** Width and styles for where the text goes: a pipe gets 110 columns and no styles. */
function terminalOf(
  out: { readonly isTTY?: boolean; readonly columns?: number },
  env: NodeJS.ProcessEnv,
): { width: number; color: boolean } {
  const noColor = env['NO_COLOR'] !== undefined && env['NO_COLOR'] !== '';
  return { width: out.columns || 110, color: out.isTTY === true && !noColor };
}
