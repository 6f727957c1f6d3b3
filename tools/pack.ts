/**
 * `npm pack` runs this first: types are stripped into dist/, since Node refuses TypeScript under
 * node_modules, and the files that code reads at run time (SQL, the JSON Schema) go beside it.
 */
import { spawnSync } from 'node:child_process';
import { cpSync, globSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const dist = join(root, 'dist');
const TSC = join(root, 'node_modules/typescript/bin/tsc');
const ASSETS = [
  'store/schema/*.sql',
  'analytics/queries/*.sql',
  'mesh/*.schema.json',
  'dashboards/web/*.{html,css}',
];

rmSync(dist, { recursive: true, force: true });
compile('tsconfig.pack.json');
// The live page is for browsers, so it has a configuration of its own.
compile('dashboards/web', '--noEmit', 'false', '--outDir', join(dist, 'dashboards/web'));
declareAdapter();
for (const asset of ASSETS.flatMap((pattern) => globSync(pattern, { cwd: root }))) {
  const to = join(dist, asset);
  mkdirSync(dirname(to), { recursive: true });
  cpSync(join(root, asset), to);
}

function compile(project: string, ...options: string[]): void {
  const tsc = spawnSync(process.execPath, [TSC, '-p', join(root, project), ...options], {
    stdio: ['ignore', 'inherit', 'inherit'],
    cwd: root,
  });
  if (tsc.status === 0) return;
  console.error('tools/pack: the TypeScript compiler found faults; nothing was packed.');
  process.exit(1);
}

/**
 * The types of the one module that others import. Its public types name nothing of ours but
 * themselves, so that one file says them all.
 */
function declareAdapter(): void {
  const folder = mkdtempSync(join(tmpdir(), 'azimuth-types-'));
  const options = ['--noEmit', 'false', '--declaration', '--emitDeclarationOnly'];
  const declared = spawnSync(
    process.execPath,
    [TSC, '-p', join(root, 'tsconfig.pack.json'), ...options, '--outDir', folder],
    { stdio: ['ignore', 'inherit', 'inherit'], cwd: root },
  );
  const file = 'proxy/adapters/http-proxy.d.ts';
  if (declared.status === 0) cpSync(join(folder, file), join(dist, file));
  rmSync(folder, { recursive: true, force: true });
  if (declared.status === 0) return;
  console.error('tools/pack: the types of the adapter could not be written; nothing was packed.');
  process.exit(1);
}
