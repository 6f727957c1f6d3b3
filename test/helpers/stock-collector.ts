/**
 * A stock OpenTelemetry Collector as a process, for tests that ask for one. It is built with Go by
 * bench/lib/otelcol.ts, which takes minutes: no test does that. Where none was built the suite is
 * pending and says so, in CI too.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { builtOtelcol } from '../../bench/lib/otelcol.ts';

/** For a `before` hook: the Collector's path, or the suite pending. */
export function requireStockCollector(context: Mocha.Context): string {
  const found = builtOtelcol();
  if ('path' in found) return found.path;
  process.stderr.write(`\n*** PENDING: ${found.missing} ***\n\n`);
  context.skip();
}

export interface StockCollector {
  /** What it has written to its log. */
  log(): string;
  /** SIGKILL: it has nothing to finish in a test. */
  stop(): Promise<void>;
}

/** Starts it with this YAML, written to `file`. */
export function startStockCollector(path: string, yaml: string, file: string): StockCollector {
  const telemetry = '  telemetry: { logs: { level: warn }, metrics: { level: none } }\n';
  writeFileSync(file, `${yaml}${telemetry}`);
  const child: ChildProcess = spawn(path, ['--config', file], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let log = '';
  for (const stream of [child.stdout, child.stderr])
    stream?.on('data', (chunk: Buffer) => (log += chunk.toString()));
  return {
    log: () => log,
    async stop() {
      if (child.exitCode !== null || child.signalCode !== null) return;
      const gone = once(child, 'exit');
      child.kill('SIGKILL');
      await gone;
    },
  };
}
