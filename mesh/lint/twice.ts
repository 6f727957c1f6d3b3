/**
 * Functions that one request meets twice: at the edge, and again at the sidecar of the workload behind
 * it. At best the second is work for nothing; often the two say different things, and then the client
 * sees the sum.
 */
import { inForce, meetingsOf, type Meeting } from './edges.ts';
import { figure, type Finding, type LintInput, type Place } from './finding.ts';

/** Rules of this file look at one pair of routes at a time. */
const atMeetings =
  (rule: (meeting: Meeting, inner: NonNullable<Meeting['inner']>) => readonly Finding[]) =>
  ({ config }: LintInput): Finding[] =>
    meetingsOf(config).flatMap((meeting) =>
      meeting.inner === undefined ? [] : rule(meeting, meeting.inner),
    );

const quoted = (meeting: Meeting, inner: NonNullable<Meeting['inner']>): string =>
  `"${meeting.outer.config.path}" of ${meeting.edge.name} and "${inner.config.path}" of ${meeting.workload.name}`;

/** Who sends a request is asked at both places. */
export const authenticationTwice = atMeetings((meeting, inner) => {
  const { edge, outer, workload } = meeting;
  const outerJwt = inForce(edge, outer, 'jwt');
  const outerKeys = inForce(edge, outer, 'api_keys');
  const { jwt, api_keys: keys } = inner.config.functions ?? {};
  const first = outerJwt ?? outerKeys;
  const second = jwt ?? keys;
  if (first === undefined || second === undefined) return [];
  const places: Place[] = [
    { path: first.path, says: outerJwt === undefined ? 'API keys' : 'tokens' },
    {
      path: [...inner.path, 'functions', jwt === undefined ? 'api_keys' : 'jwt'],
      says: jwt === undefined ? 'API keys' : 'tokens',
    },
  ];
  const mend = `ask at ${edge.name} alone, and let ${workload.name} take requests of ${edge.name} by identity (allow: [${edge.name}])`;
  const contradicts = (consequence: string): Finding[] => [
    { rule: 'authentication-contradicts', consequence, mend, places },
  ];
  if (outerJwt !== undefined && jwt !== undefined) {
    if (outerJwt.value.issuer !== jwt.issuer) {
      return contradicts(
        `0 requests pass ${quoted(meeting, inner)}: a token has one issuer, and they ask for "${outerJwt.value.issuer}" and "${jwt.issuer}"; every one is answered 401`,
      );
    }
    if (!outerJwt.value.algorithms.some((algorithm) => jwt.algorithms.includes(algorithm))) {
      return contradicts(
        `0 requests pass ${quoted(meeting, inner)}: no algorithm is allowed by both; every one is answered 401`,
      );
    }
  }
  if (outerKeys !== undefined && keys !== undefined) {
    const known = keys.keys.filter(({ sha256 }) =>
      outerKeys.value.keys.some((one) => one.sha256 === sha256),
    );
    if (
      placeOf(outerKeys.value) === placeOf(keys) &&
      (!outerKeys.value.forward || known.length === 0)
    ) {
      return contradicts(
        `0 requests pass ${quoted(meeting, inner)}: ` +
          (known.length === 0
            ? 'no key is known to both'
            : `${edge.name} takes the key out before it passes a request on`) +
          '; every one is answered 401',
      );
    }
  }
  return [
    {
      rule: 'authentication-twice',
      consequence: `2 checks of who sends it for each request that passes ${quoted(meeting, inner)}; what changes at one place and not yet at the other costs clients a 401`,
      mend,
      places,
    },
  ];
});

const placeOf = ({ header, query }: { header?: string | undefined; query?: string | undefined }) =>
  query === undefined ? `header ${header ?? 'x-api-key'}` : `query ${query}`;

/** Requests a second that limits let in, all processes together. */
const perSecond = (limit: { requests: number; per_s: number }, workers: number): number =>
  (limit.requests / limit.per_s) * workers;

const rate = (n: number): string => `${Number(n.toPrecision(4)).toLocaleString('en-US')}/s`;

export const rateLimitTwice = atMeetings((meeting, inner) => {
  const { edge, outer, workload, innerWorkers } = meeting;
  const limits = inForce(edge, outer, 'rate_limits');
  const own = inner.config.functions?.rate_limits ?? [];
  if (limits === undefined) return [];
  return own.flatMap((second, at) =>
    limits.value.flatMap((first, index): Finding[] => {
      // Clients of a sidecar are proxies: client-limit-in-mesh.
      if (first.by !== second.by || first.by === 'client') return [];
      const outerRate = perSecond(first, edge.workers);
      const innerRate = perSecond(second, innerWorkers);
      const whose = first.by === 'consumer' ? ' of one consumer' : '';
      return [
        {
          rule: 'rate-limit-twice',
          consequence:
            innerRate < outerRate
              ? `${edge.name} lets ${rate(outerRate)}${whose} in, and ${workload.name} takes ${rate(innerRate)}: up to ${rate(outerRate - innerRate)} cross the mesh to get 429`
              : `counted 2 times; ${edge.name} lets ${rate(outerRate)}${whose} in, so the ${rate(innerRate)} of ${workload.name} are never met through it`,
          mend: `limit at ${edge.name} alone, with ${rate(Math.min(outerRate, innerRate))}`,
          places: [
            { path: [...limits.path, index], says: `${rate(outerRate)} by ${first.by}` },
            {
              path: [...inner.path, 'functions', 'rate_limits', at],
              says: `${rate(innerRate)} by ${second.by}`,
            },
          ],
        },
      ];
    }),
  );
});

export const requestSizeTwice = atMeetings((meeting, inner) => {
  const { edge, outer, workload } = meeting;
  const first = inForce(edge, outer, 'request_size');
  const second = inner.config.functions?.request_size;
  if (first === undefined || second === undefined) return [];
  const [outerMax, innerMax] = [first.value.bytes_max, second.bytes_max];
  return [
    {
      rule: 'request-size-twice',
      consequence:
        innerMax < outerMax
          ? `bodies of ${figure(innerMax + 1)} to ${figure(outerMax)} bytes pass ${edge.name} and get 413 at ${workload.name}`
          : `measured 2 times; ${edge.name} takes ${figure(outerMax)} bytes, so the ${figure(innerMax)} of ${workload.name} are never met through it`,
      mend: `write request_size: { bytes_max: ${Math.min(outerMax, innerMax)} } at ${edge.name} alone`,
      places: [
        { path: first.path, says: `${figure(outerMax)} bytes` },
        {
          path: [...inner.path, 'functions', 'request_size'],
          says: `${figure(innerMax)} bytes`,
        },
      ],
    },
  ];
});

export const faultTwice = atMeetings((meeting, inner) => {
  const first = inForce(meeting.edge, meeting.outer, 'fault');
  const second = inner.config.functions?.fault;
  if (first === undefined || second === undefined) return [];
  const [a, b] = [first.value.abort_percent, second.abort_percent];
  const aborted = Number((100 - ((100 - a) * (100 - b)) / 100).toFixed(2));
  const delayMs = (first.value.delay_ms ?? 0) + (second.delay_ms ?? 0);
  return [
    {
      rule: 'fault-twice',
      consequence: `a request through ${quoted(meeting, inner)} meets 2 faults on purpose: ${aborted} % are aborted in all, and delays sum to ${figure(delayMs)} ms`,
      mend: 'inject at one place, the one that is tried',
      places: [
        { path: first.path, says: `${a} % aborted` },
        { path: [...inner.path, 'functions', 'fault'], says: `${b} % aborted` },
      ],
    },
  ];
});

/** Headers that both set: of a request the inner one stays, of an answer the outer one. */
export const headerTwice = atMeetings((meeting, inner) => {
  const { edge, outer, workload } = meeting;
  const first = inForce(edge, outer, 'headers');
  const second = inner.config.functions?.headers;
  if (first === undefined || second === undefined) return [];
  return (['request', 'response'] as const).flatMap((way) =>
    (['set', 'add'] as const).flatMap((change) =>
      Object.keys(first.value[way][change])
        .filter((name) => name in second[way][change])
        .map((name): Finding => {
          const kept = way === 'request' ? workload.name : edge.name;
          const path = [...inner.path, 'functions', 'headers', way, change, name];
          return {
            rule: 'header-twice',
            consequence:
              change === 'add'
                ? `${name} of each ${way} gets 2 values`
                : `${name} of each ${way} is set 2 times; what ${kept} sets is what arrives, the other value in 0 of all`,
            mend: `${change} ${name} at ${kept} alone`,
            places: [
              { path: [...first.path, way, change, name], says: change },
              { path, says: change },
            ],
          };
        }),
    ),
  );
});

/** What cors says by itself; others, as access-control-allow-private-network, are free. */
const SAID_BY_CORS =
  /^access-control-(allow-(origin|credentials|methods|headers)|expose-headers|max-age)$/;

/** CORS is answered by the edge; a header set by hand is a second voice. */
export function corsTwice(input: LintInput): Finding[] {
  const seen = new Set<string>();
  return meetingsOf(input.config).flatMap((meeting) => {
    const { edge, outer, inner, workload } = meeting;
    const cors = inForce(edge, outer, 'cors');
    if (cors === undefined) return [];
    const atEdge = inForce(edge, outer, 'headers');
    const sides = [
      { where: edge.name, changes: atEdge?.value.response, path: atEdge?.path ?? [] },
      {
        where: workload.name,
        changes: inner?.config.functions?.headers?.response,
        path: [...(inner?.path ?? []), 'functions', 'headers'],
      },
    ];
    return sides.flatMap(({ where, changes, path }) =>
      (['set', 'add'] as const).flatMap((change) =>
        Object.keys(changes?.[change] ?? {})
          .filter((name) => SAID_BY_CORS.test(name))
          .flatMap((name): Finding[] => {
            const at = [...path, 'response', change, name];
            const key = [...cors.path, ...at].join(' ');
            if (seen.has(key)) return [];
            seen.add(key);
            return [
              {
                rule: 'cors-twice',
                consequence:
                  where === edge.name
                    ? `answers to pages of other sites have 2 ${name}, one of cors and one by hand, and browsers refuse those`
                    : `${name} of ${where} reaches 0 browsers: cors of ${edge.name} takes it out and says its own`,
                mend: `remove ${name} and say it in cors`,
                places: [
                  { path: cors.path, says: `cors of ${edge.name}` },
                  { path: at, says: `${change} by hand` },
                ],
              },
            ];
          }),
      ),
    );
  });
}
