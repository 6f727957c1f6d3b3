/**
 * `azimuth check`: validates a mesh file and says what it holds. Opens nothing.
 */
import { parseArgs } from 'node:util';
import { readMesh, type Mesh } from '../../mesh/load.ts';
import { redactedConfig } from '../../mesh/config.ts';
import { ERRORS } from '../../runtime/errors.ts';
import { meshPath } from '../mesh-option.ts';
import type { Command } from '../command.ts';

export const command: Command = {
  help: `
Usage: azimuth check [FILE] [--mesh FILE] [--print]

Validates a mesh file: every fault in one run, each with line, column, path and what to do.
Exits with 0 and a short table when it is valid, with 78 when it is not.

  --print   print the whole configuration with every default filled in, as JSON (no secrets)

Examples:
  azimuth check mesh.yaml
  azimuth check mesh.yaml --print
`,
  run(args) {
    const { values, positionals } = parseArgs({
      args: [...args],
      options: { mesh: { type: 'string' }, print: { type: 'boolean', default: false } },
      allowPositionals: true,
    });
    const file = meshPath({ mesh: positionals[0] ?? values.mesh });
    const { mesh, faults } = readMesh(file);
    if (mesh === undefined) {
      const count = faults.length === 1 ? '1 fault' : `${faults.length} faults`;
      process.stderr.write(`${faults.join('\n')}\n\n${file}: ${count}\n`);
      return Promise.resolve(ERRORS.AZ_CONFIG_INVALID.exitCode);
    }
    for (const warning of mesh.warnings) process.stderr.write(`warning: ${warning}\n`);
    process.stdout.write(
      values.print ? JSON.stringify(redactedConfig(mesh.config), null, 2) + '\n' : summary(mesh),
    );
    return Promise.resolve(0);
  },
};

function summary({ file, config }: Mesh): string {
  const rows: [string, string][] = [
    ['mesh', `${config.mesh} / ${config.topology}, cluster ${config.cluster}`],
    ...config.gateways.map((g): [string, string] => [
      'gateway',
      `${g.name} on ${at(g.listen)}, ${count(g.routes.length, 'route')}, admin ${at(g.admin)}`,
    ]),
    ...config.sidecars.flatMap((s) =>
      s.serves.map((served): [string, string] => {
        const outbound = `outbound ${at(served.outbound)} (${s.name})`;
        if (served.gateway !== undefined)
          return ['gateway', `${served.gateway} calls by ${outbound}`];
        const workload = config.workloads.find((w) => w.name === served.workload);
        const { ingress, inbound } = served;
        return [
          workload?.kind ?? 'service',
          `${served.workload} at ${workload?.address ?? ''}, ` +
            (ingress === undefined
              ? ''
              : `ingress ${at(ingress)}, ${count(ingress.routes.length, 'route')}, `) +
            `inbound ${at(inbound)}, ${outbound}`,
        ];
      }),
    ),
    ...config.externals.map((e): [string, string] => ['external', `${e.name} at ${e.address}`]),
    [
      'telemetry',
      config.telemetry.transport === 'otlp'
        ? `OTLP to ${config.telemetry.otlp.endpoint}`
        : `Kafka ${config.telemetry.kafka.brokers.join(', ')}`,
    ],
    ['store', `${config.store.url} as ${config.store.user}, password [REDACTED]`],
  ];
  const width = Math.max(...rows.map(([label]) => label.length));
  const lines = rows.map(([label, value]) => `  ${label.padEnd(width)}  ${value}`);
  return `${file} is valid\n${lines.join('\n')}\n`;
}

const at = ({ host, port }: { host: string; port: number }): string => `${host}:${port}`;

const count = (n: number, what: string): string => `${n} ${what}${n === 1 ? '' : 's'}`;
