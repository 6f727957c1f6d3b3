/**
 * What a changed part of the mesh file asks for: which keys only a new process can follow. Pure.
 *
 *   name, role, admin, workers, state_dir    ► the proxy must be started again
 *   mesh, topology, cluster, telemetry,      ► a new worker process: constants of its records, pipe
 *   limits                                     and connections
 *   listeners, identity, certificates        ► taken while running
 */
import { isDeepStrictEqual } from 'node:util';
import type { ProxyPart } from '../mesh/part.ts';

const BY_START = ['name', 'role', 'admin', 'workers'] as const;
/** Where processes of this proxy leave their counter files must not depend on which of them it is. */
const STATE_DIR = 'telemetry.state_dir';
const BY_WORKER = ['mesh', 'topology', 'cluster', 'telemetry', 'limits'] as const;

const WHILE_RUNNING = ['listeners', 'identity', 'files'] as const;

export interface ReloadPlan {
  /** Nothing differs but the generation. */
  readonly unchanged: boolean;
  /** Changed keys that need a new start of the proxy. */
  readonly needsStart: readonly string[];
  /** Changed keys that need new worker processes. */
  readonly needsWorker: readonly string[];
}

export function planReload(before: ProxyPart, after: ProxyPart): ReloadPlan {
  const byWorker = changed(BY_WORKER, before, after);
  const needsStart = [
    ...changed(BY_START, before, after),
    ...byWorker.filter((key) => key === STATE_DIR),
  ];
  const needsWorker = byWorker.filter((key) => key !== STATE_DIR);
  const unchanged =
    WHILE_RUNNING.every((key) => isDeepStrictEqual(before[key], after[key])) &&
    needsStart.length + needsWorker.length === 0;
  return { unchanged, needsStart, needsWorker };
}

function changed(
  keys: readonly (keyof ProxyPart)[],
  before: ProxyPart,
  after: ProxyPart,
): string[] {
  return keys.flatMap((key) => {
    if (isDeepStrictEqual(before[key], after[key])) return [];
    if (key !== 'telemetry') return [key];
    const was: Record<string, unknown> = { ...before.telemetry };
    const is: Record<string, unknown> = { ...after.telemetry };
    return [...new Set([...Object.keys(was), ...Object.keys(is)])]
      .filter((inner) => !isDeepStrictEqual(was[inner], is[inner]))
      .map((inner) => `telemetry.${inner}`);
  });
}
