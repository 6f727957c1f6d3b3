/**
 * Programs of Prometheus for tests: `promtool`, which checks rules, and the server itself. Found on the
 * PATH (Debian and Ubuntu: package `prometheus`). Where they are missing tests are pending with a loud
 * reason, and fail where CI=true.
 */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import type { Context } from 'mocha';

/** Whether a program of Prometheus is installed. */
export const hasPrometheus = (program: 'promtool' | 'prometheus'): boolean =>
  spawnSync(program, ['--version']).status === 0;

/** Skips the test or hook where a program of Prometheus is not installed. */
export function requirePrometheus(context: Context, program: 'promtool' | 'prometheus'): void {
  if (hasPrometheus(program)) return;
  const why = `${program} is needed (apt-get install prometheus)`;
  if (process.env['CI'] === 'true') assert.fail(why);
  console.warn(`      PENDING: ${why}`);
  context.skip();
}

/** Runs promtool; everything that it wrote, and its exit code. */
export function promtool(
  args: readonly string[],
  input = '',
): { readonly code: number | null; readonly output: string } {
  const { status, stdout, stderr } = spawnSync('promtool', args, { input, encoding: 'utf8' });
  return { code: status, output: stdout + stderr };
}
