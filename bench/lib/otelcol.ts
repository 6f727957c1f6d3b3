/**
 * The stock OpenTelemetry Collector: built once with Go from the modules that bench/peers/otelcol
 * names, into a cache outside of the repository, and used again from there. Without Go (or its
 * modules) there is none, and whoever asked is told why; nothing here makes a benchmark fail.
 */
import { spawnSync } from 'node:child_process';
import { copyFileSync, existsSync, mkdirSync, mkdtempSync, renameSync, rmSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** Version of all its components. */
export const OTELCOL_VERSION = '0.155.0';

/** Downloads of some 300 modules and a compilation of all of them, on a slow machine. */
const BUILD_WITHIN_MS = 30 * 60_000;

/** The program's path, or why there is none. */
export type Otelcol = { readonly path: string } | { readonly missing: string };

/** $AZIMUTH_OTELCOL, else a folder of the user's cache. */
function cacheFolder(): string {
  const given = process.env['AZIMUTH_OTELCOL'];
  if (given !== undefined && given !== '') return given;
  const caches = process.env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache');
  return join(caches, 'azimuth', `otelcol-${OTELCOL_VERSION}`);
}

/** Finds one that was built before; never builds. */
export function builtOtelcol(): Otelcol {
  const path = join(cacheFolder(), 'otelcol');
  return existsSync(path)
    ? { path }
    : {
        missing: `no Collector was built on this machine yet (node bench/lib/otelcol.ts builds one, with Go)`,
      };
}

/** Finds it, or builds it: minutes of both cores, once. Says what it does through `say`. */
export function buildOtelcol(say: (text: string) => void): Otelcol {
  const built = builtOtelcol();
  if ('path' in built) return built;
  if (spawnSync('go', ['version']).status !== 0) return { missing: 'Go is not installed' };
  const folder = cacheFolder();
  say(`building a stock Collector ${OTELCOL_VERSION} into ${folder} (once, takes minutes)`);
  mkdirSync(folder, { recursive: true });
  // Beside the target, so that the rename is atomic: the program exists whole or not at all.
  const work = mkdtempSync(join(folder, 'build-'));
  try {
    const source = fileURLToPath(new URL('../peers/otelcol', import.meta.url));
    for (const file of ['main.go', 'go.mod']) copyFileSync(join(source, file), join(work, file));
    const done = spawnSync('go', ['build', '-trimpath', '-ldflags=-s -w', '-o', 'otelcol', '.'], {
      cwd: work,
      timeout: BUILD_WITHIN_MS,
      // go.mod names what is asked for; the rest follows from it.
      env: { ...process.env, GOFLAGS: '-mod=mod -buildvcs=false' },
    });
    if (done.status !== 0) {
      const text = done.error === undefined ? done.stderr.toString() : done.error.message;
      return { missing: `go build failed: ${text.trim().split('\n').at(-1) ?? ''}` };
    }
    renameSync(join(work, 'otelcol'), join(folder, 'otelcol'));
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
  return builtOtelcol();
}

if (import.meta.main) {
  const found = buildOtelcol((text) => process.stderr.write(`${text}\n`));
  process.stdout.write(`${'path' in found ? found.path : `none: ${found.missing}`}\n`);
}
