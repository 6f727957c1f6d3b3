/**
 * `npm pack` runs this first: types are stripped into dist/, since Node refuses TypeScript under
 * node_modules, and the files that code reads at run time (SQL, the JSON Schema) go beside it.
 */
import { spawnSync } from 'node:child_process';
import { cpSync, globSync, mkdirSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const dist = join(root, 'dist');
const ASSETS = ['store/schema/*.sql', 'analytics/queries/*.sql', 'mesh/*.schema.json'];

rmSync(dist, { recursive: true, force: true });
const tsc = spawnSync(
  process.execPath,
  [join(root, 'node_modules/typescript/bin/tsc'), '-p', join(root, 'tsconfig.pack.json')],
  { stdio: ['ignore', 'inherit', 'inherit'], cwd: root },
);
if (tsc.status !== 0) {
  console.error('tools/pack: the TypeScript compiler found faults; nothing was packed.');
  process.exit(1);
}
for (const asset of ASSETS.flatMap((pattern) => globSync(pattern, { cwd: root }))) {
  const to = join(dist, asset);
  mkdirSync(dirname(to), { recursive: true });
  cpSync(join(root, asset), to);
}
