/**
 * Timers that contradict each other: one that another always beats, and an outer one that ends before
 * an inner one may. Only times that the file itself writes are held against others: a default that is
 * longer than a written time is no contradiction, but what the written time is for.
 */
import type { Path } from '../source.ts';
import { callsOf, type CalledRoute } from './calls.ts';
import { edgesOf, meetingsOf, type EdgeRoute } from './edges.ts';
import { figure, type Finding, type LintInput } from './finding.ts';

type Timed = Omit<CalledRoute, 'methods'>;

/** Every route with timers of its own, and externals. */
function timedRoutes({ config }: LintInput): Timed[] {
  return [
    ...edgesOf(config).flatMap(({ routes }) =>
      routes.map(({ config: route, path }): Timed => ({ ...route, path })),
    ),
    ...config.workloads.flatMap(({ routes }, index) =>
      routes.map((route, at): Timed => ({ ...route, path: ['workloads', index, 'routes', at] })),
    ),
    ...config.externals.map((external, index): Timed => ({
      ...external,
      path: ['externals', index],
    })),
  ];
}

const ms = (n: number): string => `${figure(n)} ms`;

/** Parts of a request that may take as long as the whole. */
export function timerNeverFires(input: LintInput): Finding[] {
  return timedRoutes(input).flatMap((route) => {
    const { timeout_ms: whole, path } = route;
    if (whole === undefined) return [];
    return (['try_timeout_ms', 'response_timeout_ms', 'idle_timeout_ms'] as const).flatMap(
      (key): Finding[] => {
        const part = route[key];
        if (part === undefined || part < whole || !input.written([...path, key])) return [];
        return [
          {
            rule: 'timer-never-fires',
            consequence: `${key} fires in 0 of all requests: the whole ends after ${ms(whole)}, before the ${ms(part)} of a part`,
            mend: `write less than ${ms(whole)} for ${key}, or more for timeout_ms`,
            places: [
              { path: [...path, 'timeout_ms'], says: `all of it within ${ms(whole)}` },
              { path: [...path, key], says: `${key} of ${ms(part)}` },
            ],
          },
        ];
      },
    );
  });
}

/** Least sum of the pauses before `retries` retries: half of each pause is chance. */
function pausesMs(retry: NonNullable<Timed['retry']>, retries: number): number {
  let sum = 0;
  for (let i = 0; i < retries; i++) {
    sum += Math.min(retry.backoff_ms * 2 ** i, retry.backoff_max_ms) / 2;
  }
  return sum;
}

/** Longest time of one attempt to the head of its answer. */
const tryMs = (route: Timed): number =>
  Math.min(route.try_timeout_ms ?? Infinity, route.response_timeout_ms);

/** Attempts that time out one after the other, and the whole is over before the last one. */
export function attemptsOutlastTimeout(input: LintInput): Finding[] {
  return timedRoutes(input).flatMap((route): Finding[] => {
    const { timeout_ms: whole, retry, path } = route;
    if (whole === undefined || retry?.on.includes('timeout') !== true) return [];
    const { attempts_max: attempts } = retry;
    const one = tryMs(route);
    const longest = one * attempts + pausesMs(retry, attempts - 1);
    if (longest <= whole) return [];
    let full = 0;
    while (full < attempts && one * (full + 1) + pausesMs(retry, full) <= whole) full++;
    const key = route.try_timeout_ms === one ? 'try_timeout_ms' : 'response_timeout_ms';
    return [
      {
        rule: 'attempts-outlast-timeout',
        consequence: `${attempts} attempts of ${ms(one)} with their pauses take at least ${ms(Math.ceil(longest))}, and the whole ends after ${ms(whole)}: only ${full} of ${attempts} ever get their full time`,
        mend: `write timeout_ms: ${Math.ceil(longest)} or more, or a try_timeout_ms below ${ms(Math.floor(whole / attempts))}`,
        places: [
          { path: [...path, 'timeout_ms'], says: `all of it within ${ms(whole)}` },
          { path: [...path, 'retry'], says: `${attempts} attempts, also after a timeout` },
          { path: [...path, key], says: `each up to ${ms(one)}` },
        ],
      },
    ];
  });
}

/** When the outer side stops waiting for an answer to begin, and by which key. */
function outerBound({ config: route }: EdgeRoute): { readonly ms: number; readonly key: string } {
  const { timeout_ms: whole, response_timeout_ms: response } = route;
  // A try that times out may be followed by another: its end is not the end of the request.
  const one = route.retry?.on.includes('timeout') === true ? undefined : route.try_timeout_ms;
  const bounds = [
    { ms: whole ?? Infinity, key: 'timeout_ms' },
    { ms: one ?? Infinity, key: 'try_timeout_ms' },
    { ms: response, key: 'response_timeout_ms' },
  ];
  return bounds.reduce((least, bound) => (bound.ms < least.ms ? bound : least));
}

/** An edge that gives up before a service behind it has to. */
export function outerTimeoutShorter(input: LintInput): Finding[] {
  const { config } = input;
  const direct = meetingsOf(config).flatMap(({ outer, inner, workload }): Finding[] => {
    if (inner === undefined) return [];
    const path = [...inner.path, 'response_timeout_ms'];
    // Its sidecar keeps response_timeout_ms alone; the others are for those who call by their sidecars.
    if (!input.written(path)) return [];
    const { response_timeout_ms: allowed } = inner.config;
    return shorter(outer, `${workload.name} at "${inner.config.path}"`, allowed, path);
  });
  const seen = new Set<string>();
  const behind = edgesOf(config).flatMap(({ routes }) =>
    routes.flatMap((outer) =>
      outer.targets.flatMap((target) =>
        reachable(input, target).flatMap(({ callee, route }): Finding[] => {
          const longest = longestOf(input, route);
          // Each call is named once, with the first route of the edges that is too short for it.
          const key = `${outer.edge} ${route.path.join(' ')}`;
          if (longest === undefined || longest.ms <= outerBound(outer).ms || seen.has(key))
            return [];
          seen.add(key);
          return shorter(outer, `a call of ${callee}`, longest.ms, longest.path);
        }),
      ),
    ),
  );
  return [...direct, ...behind];
}

function shorter(outer: EdgeRoute, what: string, allowedMs: number, path: Path): Finding[] {
  const bound = outerBound(outer);
  if (allowedMs <= bound.ms) return [];
  return [
    {
      rule: 'outer-timeout-shorter',
      consequence: `${outer.edge} answers 504 after ${ms(bound.ms)}, so ${ms(allowedMs - bound.ms)} of the ${ms(allowedMs)} that ${what} may take are for nobody`,
      mend: `write at least ${ms(allowedMs)} for the outer ${bound.key}, or at most ${ms(bound.ms)} for the inner time`,
      places: [
        {
          path: [...outer.path, bound.key],
          says: `"${outer.config.path}" gives up after ${ms(bound.ms)}`,
        },
        { path, says: `up to ${ms(allowedMs)}` },
      ],
    },
  ];
}

/** Longest time of a call with its retries, where the file writes any time of it. */
function longestOf(
  input: LintInput,
  route: Timed,
): { readonly ms: number; readonly path: Path } | undefined {
  const { retry, path } = route;
  const times = (['timeout_ms', 'try_timeout_ms', 'response_timeout_ms'] as const).filter((key) =>
    input.written([...path, key]),
  );
  const key = times[0];
  if (key === undefined) return undefined;
  const attempts = retry?.on.includes('timeout') === true ? retry.attempts_max : 1;
  const all = attempts * tryMs(route) + (retry === undefined ? 0 : pausesMs(retry, attempts - 1));
  return { ms: Math.ceil(Math.min(route.timeout_ms ?? Infinity, all)), path: [...path, key] };
}

/** Calls that may follow a request to `from`, however deep. */
function reachable(
  { config }: LintInput,
  from: string,
): { readonly callee: string; readonly route: CalledRoute }[] {
  const found = [];
  const passed = new Set([from]);
  for (const name of passed) {
    const caller = config.workloads.find((workload) => workload.name === name);
    if (caller === undefined) continue;
    for (const { callee, routes } of callsOf(config, caller)) {
      // Iteration of a Set goes on to what is added on the way.
      passed.add(callee);
      found.push(...routes.map((route) => ({ callee, route })));
    }
  }
  return found;
}
