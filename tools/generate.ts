/**
 * Generated files: `npm run generate` writes them, `--check` (part of `npm run check`) fails when
 * one on disk differs from what would be written. To add one, add a generator to the list.
 */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { openApiDocument } from '../analytics/openapi.ts';
import { allowClosedOutput } from '../bin/closed-output.ts';
import { grafanaFiles } from '../dashboards/grafana/generate.ts';
import { meshJsonSchema } from '../mesh/config.ts';
import { clusterSchemaText } from './cluster-schema.ts';

interface Generated {
  /** Relative to the repository. */
  readonly path: string;
  readonly content: string;
}

const GENERATORS: readonly (() => readonly Generated[])[] = [
  () => [{ path: 'mesh/mesh.schema.json', content: json(meshJsonSchema()) }],
  () => [{ path: 'docs/openapi.json', content: json(openApiDocument()) }],
  () => [{ path: 'deploy/clickhouse/cluster/schema.sql', content: clusterSchemaText() }],
  grafanaFiles,
];

const json = (value: unknown): string => JSON.stringify(value, null, 2) + '\n';

allowClosedOutput(process.stdout);
const check = process.argv.includes('--check');
const stale: string[] = [];
for (const { path, content } of GENERATORS.flatMap((generate) => generate())) {
  const target = new URL(`../${path}`, import.meta.url);
  if (check) {
    if (textOf(target) !== content) stale.push(path);
  } else {
    mkdirSync(dirname(target.pathname), { recursive: true });
    writeFileSync(target, content);
    process.stdout.write(`${path}\n`);
  }
}
if (stale.length > 0) {
  process.stderr.write(`not current (run \`npm run generate\`): ${stale.join(', ')}\n`);
  process.exitCode = 1;
}

function textOf(file: URL): string | undefined {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return undefined;
  }
}
