/**
 * What a rule of `azimuth lint` finds, before and after lines of the mesh file are known. A rule is a
 * pure function of the validated mesh: it opens nothing and prints nothing.
 */
import type { MeshConfig } from '../config.ts';
import type { Path } from '../source.ts';

/** Stable names: people write them into scripts. docs/LINT.md says what each is for. */
export const RULES = [
  'retries-multiply',
  'retries-without-budget',
  'timer-never-fires',
  'attempts-outlast-timeout',
  'outer-timeout-shorter',
  'authentication-twice',
  'authentication-contradicts',
  'rate-limit-twice',
  'client-limit-in-mesh',
  'request-size-twice',
  'cors-twice',
  'header-twice',
  'fault-twice',
  'gateway-function-in-mesh',
  'mesh-through-gateway',
  'tls-twice',
  'tls-ends-at-edge',
  'mesh-only-not-needed',
  'allow-without-gateway',
  'allow-of-another-domain',
  'mirror-to-itself',
  'mirror-counts-as-load',
] as const;

export type RuleName = (typeof RULES)[number];

/** One side of a finding. `says`: what stands there, without its path. */
export interface Place {
  readonly path: Path;
  readonly says: string;
}

export interface Finding {
  readonly rule: RuleName;
  /** What follows, in numbers. A sentence without its full stop. */
  readonly consequence: string;
  /** What to change. A sentence without its full stop. */
  readonly mend: string;
  /** The two sides, or more; from the outside inwards. */
  readonly places: readonly Place[];
}

/** What rules read. */
export interface LintInput {
  readonly config: MeshConfig;
  /** True where the file itself says it, so that it is not a default. */
  written(path: Path): boolean;
}

export type Rule = (input: LintInput) => readonly Finding[];

/** `1234567` as `1,234,567`. */
export const figure = (n: number): string => n.toLocaleString('en-US');
