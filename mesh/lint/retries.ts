/**
 * Retries that multiply. A route of an edge tries what it calls again; a workload's routes and
 * externals are tried again by the sidecars of those who call them. One request that fails all the
 * way down is tried as often as the product of both.
 *
 *     edge, 3 attempts ─► web-bff ─► 3 attempts ─► catalog        up to 9 at catalog
 */
import type { WorkloadConfig } from '../config.ts';
import type { Path } from '../source.ts';
import { callsOf } from './calls.ts';
import { edgesOf } from './edges.ts';
import { figure, type Finding, type LintInput, type Place } from './finding.ts';

type Retry = WorkloadConfig['routes'][number]['retry'];

/** One retry that a request passes. */
interface Step {
  readonly attempts: number;
  readonly path: Path;
  /** Whose requests are tried again. */
  readonly callee: string;
}

/** How often one request may get there, by which retries. */
interface Chain {
  readonly steps: readonly Step[];
  /** Names that the request passed, so that no chain goes round. */
  readonly passed: readonly string[];
}

/** More calls deep than this no mesh is meant to be; it bounds the search. */
const CALLS_MAX = 5;

const product = ({ steps }: Chain): number =>
  steps.reduce((all, { attempts }) => all * attempts, 1);

/**
 * Attempts by which something is received again. After `connect_failure` nothing was, so that a retry
 * for nothing else multiplies nothing.
 */
function attemptsOf(retry: Retry, methods: readonly string[]): number {
  if (retry === undefined) return 1;
  const again = retry.statuses.length > 0 || retry.on.some((on) => on !== 'connect_failure');
  const may = methods.length === 0 || methods.some((method) => retry.methods.includes(method));
  return again && may ? retry.attempts_max : 1;
}

export function retriesMultiply(input: LintInput): Finding[] {
  const { config } = input;
  const found = new Map<string, { chain: Chain; alike: number }>();
  const keep = (key: string, chain: Chain): void => {
    if (chain.steps.length < 2) return;
    const before = found.get(key);
    const alike = (before?.alike ?? 0) + 1;
    const worse = before === undefined || product(chain) > product(before.chain);
    found.set(key, { chain: worse ? chain : before.chain, alike });
  };
  for (const edge of edgesOf(config)) {
    for (const { config: route, path, targets } of edge.routes) {
      const attempts = attemptsOf(route.retry, route.methods);
      if (attempts === 1) continue;
      for (const callee of targets) {
        const steps = [{ attempts, path: [...path, 'retry'], callee }];
        for (const [last, chain] of worstChains(input, callee, { steps, passed: [callee] })) {
          keep(`${edge.name} ${last}`, chain);
        }
      }
    }
  }
  // A retry between two services, which multiplies for whoever calls the first; said once, at its longest.
  const inside = new Set([...found.values()].flatMap(({ chain }) => pairsOf(chain)));
  for (const caller of config.workloads) {
    for (const { callee, routes } of callsOf(config, caller)) {
      const step = worstStep(routes, callee);
      if (step === undefined) continue;
      const start = { steps: [step], passed: [caller.name, callee] };
      for (const [last, chain] of worstChains(input, callee, start)) {
        if (pairsOf(chain).some((pair) => !inside.has(pair))) keep(`${callee} ${last}`, chain);
      }
    }
  }
  return [...found.values()].map(({ chain, alike }) => findingOf(chain, alike));
}

/** Pairs of retries that follow each other. */
const pairsOf = ({ steps }: Chain): string[] =>
  steps.slice(1).map((step, index) => `${steps[index]!.callee} ${step.callee}`);

function worstStep(
  routes: readonly {
    readonly retry?: Retry;
    readonly methods: readonly string[];
    readonly path: Path;
  }[],
  callee: string,
): Step | undefined {
  let worst: Step | undefined;
  for (const { retry, methods, path } of routes) {
    const attempts = attemptsOf(retry, methods);
    if (attempts > (worst?.attempts ?? 1)) worst = { attempts, path: [...path, 'retry'], callee };
  }
  return worst;
}

/** The chain with the most attempts to each service with a retry that can be reached from `from`. */
function worstChains({ config }: LintInput, from: string, start: Chain): Map<string, Chain> {
  const worst = new Map<string, Chain>();
  let layer = new Map([[from, start]]);
  for (let calls = 0; calls < CALLS_MAX && layer.size > 0; calls++) {
    const next = new Map<string, Chain>();
    for (const [name, chain] of layer) {
      const caller = config.workloads.find((workload) => workload.name === name);
      if (caller === undefined) continue;
      for (const { callee, routes } of callsOf(config, caller)) {
        if (chain.passed.includes(callee)) continue;
        const step = worstStep(routes, callee);
        const steps = step === undefined ? chain.steps : [...chain.steps, step];
        const longer = { steps, passed: [...chain.passed, callee] };
        if (product(longer) > product(next.get(callee) ?? { steps: [], passed: [] })) {
          next.set(callee, longer);
        }
        const known = worst.get(callee);
        if (step !== undefined && (known === undefined || product(longer) > product(known))) {
          worst.set(callee, longer);
        }
      }
    }
    layer = next;
  }
  return worst;
}

function findingOf(chain: Chain, alike: number): Finding {
  const { steps, passed } = chain;
  const last = steps.at(-1)!;
  const others = alike === 1 ? '' : ` (${alike} ways like this one; this is the worst)`;
  return {
    rule: 'retries-multiply',
    consequence:
      `${steps.map(({ attempts }) => attempts).join(' x ')} = up to ` +
      `${figure(product(chain))} attempts at ${last.callee} for one request that fails, where ` +
      `${passed[0]} calls ${passed.slice(1).join(', which calls ')}${others}`,
    mend:
      `keep one retry: leave out the one at ${last.callee}, or let the outer one retry only ` +
      '`on: [connect_failure]`, after which nothing was received',
    places: steps.map(({ attempts, path, callee }): Place => ({
      path,
      says: `${attempts} attempts at ${callee}`,
    })),
  };
}

/** A retry whose budget gives it nothing. */
export function retriesWithoutBudget({ config }: LintInput): Finding[] {
  const edgeRoutes = edgesOf(config).flatMap(({ routes }) => routes);
  const services = [
    ...config.workloads.map((service, index) => ({
      service,
      path: ['workloads', index],
      own: service.routes.map(({ retry }, at) => ({
        retry,
        path: ['workloads', index, 'routes', at],
      })),
    })),
    ...config.externals.map((service, index) => ({
      service,
      path: ['externals', index],
      own: [{ retry: service.retry, path: ['externals', index] }],
    })),
  ];
  return services.flatMap(({ service, path, own }) => {
    const { name, retry_budget: budget } = service;
    if (budget === undefined || budget.percent > 0 || budget.min_per_s > 0) return [];
    const outer = edgeRoutes
      .filter(({ targets }) => targets.includes(name))
      .map(({ config: { retry }, path: at }) => ({ retry, path: at }));
    return [...outer, ...own].flatMap(({ retry, path: at }): Finding[] =>
      retry === undefined
        ? []
        : [
            {
              rule: 'retries-without-budget',
              consequence: `0 of the ${retry.attempts_max - 1} retries are ever made: the budget of ${name} is 0 % and 0 a second`,
              mend: `give retry_budget of ${name} a percent or min_per_s, or leave retry out`,
              places: [
                { path: [...at, 'retry'], says: `${retry.attempts_max} attempts at ${name}` },
                { path: [...path, 'retry_budget'], says: 'no retries' },
              ],
            },
          ],
    );
  });
}
