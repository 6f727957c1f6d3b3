/**
 * The configuration that a process works by, as `/config` shows it: every default filled in, every
 * reference resolved, secrets replaced before anything leaves the process.
 */
import type { ProxyPart } from '../../mesh/part.ts';
import type { Limits } from '../limits.ts';

/** As it crosses process borders. */
export interface ConfigSnapshot {
  /** Path of the mesh file; absent where the part was made by code. */
  readonly source?: string;
  readonly generation: number;
  readonly config: unknown;
  readonly limits: Limits;
}

const REDACTED = '[REDACTED]';
const SECRET_KEY = /password|secret|token/i;
/** `//user:password@` of a URL. */
const USER_INFORMATION = /\/\/[^/@\s]*@/;
/** Derived from what stands beside it, and the content of certificates and keys. */
const LEFT_OUT = new Set(['segments', 'source', 'files', 'peers']);

export function configSnapshot(part: ProxyPart, limits: Limits): ConfigSnapshot {
  return {
    ...(part.source === undefined ? {} : { source: part.source }),
    generation: part.generation,
    config: shown(part),
    limits,
  };
}

function shown(value: unknown): unknown {
  if (typeof value === 'string') return value.replace(USER_INFORMATION, `//${REDACTED}@`);
  if (Array.isArray(value)) return value.map(shown);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value)
      .filter(([key]) => !LEFT_OUT.has(key))
      .map(([key, of]) => [
        key,
        SECRET_KEY.test(key) && typeof of === 'string' && of !== '' ? REDACTED : shown(of),
      ]),
  );
}
