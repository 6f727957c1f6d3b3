/**
 * The rules of `azimuth lint`, and their findings with lines of the mesh file. A mesh with findings is
 * valid and runs; what it does is seldom what its authors meant. bin/commands/lint.ts prints them.
 */
import { pathText, type Source } from '../source.ts';
import type { Mesh } from '../load.ts';
import { clientLimitInMesh, gatewayFunctionInMesh, meshThroughGateway } from './boundary.ts';
import type { Finding, LintInput, Rule, RuleName } from './finding.ts';
import {
  allowOfAnotherDomain,
  allowWithoutGateway,
  meshOnlyNotNeeded,
  tlsEndsAtEdge,
  tlsTwice,
} from './identity.ts';
import { mirrorCountsAsLoad, mirrorToItself } from './mirrors.ts';
import { retriesMultiply, retriesWithoutBudget } from './retries.ts';
import { attemptsOutlastTimeout, outerTimeoutShorter, timerNeverFires } from './timeouts.ts';
import {
  authenticationTwice,
  corsTwice,
  faultTwice,
  headerTwice,
  rateLimitTwice,
  requestSizeTwice,
} from './twice.ts';

const ALL: readonly Rule[] = [
  retriesMultiply,
  retriesWithoutBudget,
  timerNeverFires,
  attemptsOutlastTimeout,
  outerTimeoutShorter,
  authenticationTwice,
  rateLimitTwice,
  clientLimitInMesh,
  requestSizeTwice,
  corsTwice,
  headerTwice,
  faultTwice,
  gatewayFunctionInMesh,
  meshThroughGateway,
  tlsTwice,
  tlsEndsAtEdge,
  meshOnlyNotNeeded,
  allowWithoutGateway,
  allowOfAnotherDomain,
  mirrorToItself,
  mirrorCountsAsLoad,
];

/** A finding as people and programs get it. */
export interface LintFinding {
  readonly rule: RuleName;
  readonly consequence: string;
  readonly mend: string;
  readonly places: readonly {
    /** Such as `gateways[0].routes[1].retry`; '' for the file as a whole. */
    readonly path: string;
    /** From 1; of the nearest that stands in the file, where a default is meant. */
    readonly line: number;
    readonly column: number;
    readonly says: string;
  }[];
}

/** Everything that the rules find in a valid mesh, in the order of the file. `source`: of the same text. */
export function lintMesh({ config }: Mesh, source: Source): LintFinding[] {
  const input: LintInput = {
    config,
    written: (path) => {
      let value: unknown = source.raw;
      for (const step of path) {
        if (typeof value !== 'object' || value === null) return false;
        value = (value as Record<PropertyKey, unknown>)[step];
      }
      return value !== undefined;
    },
  };
  const placed = ALL.flatMap((rule) => rule(input)).map((finding) => place(finding, source));
  return placed.sort(
    (a, b) => a.places[0]!.line - b.places[0]!.line || a.places[0]!.column - b.places[0]!.column,
  );
}

function place({ places, ...finding }: Finding, source: Source): LintFinding {
  return {
    ...finding,
    places: places.map(({ path, says }) => {
      const { line, column } = source.fault(path, says);
      return { path: pathText(path), line, column, says };
    }),
  };
}
