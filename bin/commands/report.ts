/** `azimuth report NAME`: reads the store once and prints one report. Changes nothing. */
import { parseArgs } from 'node:util';
import { KINDS_HELP } from '../../analytics/reports/attribution-forms.ts';
import {
  readReport,
  REPORT_OPTIONS,
  reportOf,
  REPORTS,
  type RawOptions,
  type ReportOption,
} from '../../analytics/reports/catalogue.ts';
import { storePart } from '../../mesh/parts.ts';
import { AzimuthError } from '../../runtime/errors.ts';
import { createStoreClient } from '../../store/client.ts';
import type { Command } from '../command.ts';
import { meshFromArgs } from '../mesh-option.ts';
import { terminalOf } from '../terminal.ts';

const OPTIONS = Object.keys(REPORT_OPTIONS) as ReportOption[];

/** Values that an option takes, for `--help`. */
const VALUES: Readonly<Record<ReportOption, string>> = {
  perspective: 'split|whole',
  route: 'TEMPLATE',
  service: 'NAME',
  topology: 'NAME',
  generation: 'N',
  base_from: 'T',
  base_to: 'T',
  base_topology: 'NAME',
  base_generation: 'N',
};

/** How an option is spelled on the command line. */
const flagOf = (option: string): string => option.replaceAll('_', '-');

const line = (left: string, right: string): string => `  ${left.padEnd(26)} ${right}`;

export const command: Command = {
  help: `
Usage: azimuth report NAME [options]

${REPORTS.map((report) => line(report.name, report.summary)).join('\n')}

${line('--last 5m', 'the window that ends now: 30s, 5m, 1h30m, 2d (default 5m)')}
${line('--from T --to T', 'a window of ISO 8601 instants, UTC where no zone stands')}
${OPTIONS.map((option) =>
  line(
    `--${flagOf(option)} ${VALUES[option]}`,
    `${REPORT_OPTIONS[option]} (${REPORTS.filter((r) => r.options.includes(option))
      .map((r) => r.name)
      .join(', ')})`,
  ),
).join('\n')}
${line('--json | --csv', 'for programs, with the bounds or intervals of every figure')}
${line('--html', 'one page with plots, which needs nothing but itself: keep it, mail it')}
${line('--mesh FILE', 'which mesh file names the store')}

Kinds of time in attribution, which sum to each request's duration:
${KINDS_HELP}

Examples:
  azimuth report gateway-vs-mesh --last 15m --perspective whole
  azimuth report attribution --last 1h --route "/api/products/{id}"
  azimuth report compare --last 15m --base-from 2026-01-31T12:00Z --base-to 2026-01-31T12:15Z
  azimuth report edges --last 1h --html > edges.html
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
        ...Object.fromEntries(OPTIONS.map((name) => [flagOf(name), { type: 'string' } as const])),
        json: { type: 'boolean', default: false },
        csv: { type: 'boolean', default: false },
        html: { type: 'boolean', default: false },
        mesh: { type: 'string' },
      },
    });
    if (positionals.length > 1) throw new AzimuthError('AZ_USAGE', 'name one report at a time');
    const report = reportOf(positionals[0]);
    const { json, csv, html, mesh, ...flags } = values;
    const options: RawOptions = Object.fromEntries(
      Object.entries(flags).map(([flag, value]) => [flag.replaceAll('-', '_'), value]),
    );
    if ([json, csv, html].filter(Boolean).length > 1) {
      throw new AzimuthError('AZ_USAGE', 'give one of --json, --csv and --html');
    }
    const part = storePart(meshFromArgs({ mesh }));
    const store = createStoreClient(part);
    try {
      const read = await readReport(report, options, {
        store,
        retentionDays: part.retention_days,
        nowMs: Date.now(),
      });
      const form = json
        ? JSON.stringify(read.figures, null, 2) + '\n'
        : csv
          ? read.csv()
          : html
            ? read.html()
            : '\n' + read.text(terminalOf(process.stdout, process.env)) + '\n';
      process.stdout.write(form);
      return 0;
    } finally {
      await store.close();
    }
  },
};
