/**
 * TLS and identity: ended twice, missing where it counts, vouched for where it is proved, and
 * allow-lists that leave out who alone brings the requests.
 */
import type { Mesh } from '../load.ts';
import { proxyPart } from '../parts.ts';
import type { Path } from '../source.ts';
import { admits } from './calls.ts';
import { edgesOf, meetingsOf, type EdgeRoute, type Meeting } from './edges.ts';
import type { Finding, LintInput } from './finding.ts';

/** Proxies in front that write X-Forwarded-* have ended the client's TLS already. */
export function tlsTwice({ config }: LintInput): Finding[] {
  return edgesOf(config).flatMap(({ name, listen, listenPath }): Finding[] => {
    const { tls, trusted_hops: hops } = listen;
    if (tls === undefined || hops === 0) return [];
    const asksClients =
      tls.client_ca === undefined
        ? ''
        : '; client_ca sees the certificate of the last of them, of 0 clients';
    return [
      {
        rule: 'tls-twice',
        consequence: `who is in front ends TLS to write X-Forwarded-*, and ${name} ends it again: 2 handshakes for a new client${asksClients}`,
        mend: `end it once: leave tls out where only your own network lies between, or let TLS through and write trusted_hops: 0`,
        places: [
          { path: [...listenPath, 'trusted_hops'], says: `${hops} in front` },
          { path: [...listenPath, 'tls'], says: `TLS of ${name}` },
        ],
      },
    ];
  });
}

/** Whoever asks clients for TLS does not mean to carry their requests in plain over a network. */
export function tlsEndsAtEdge(input: LintInput): Finding[] {
  const { config } = input;
  const mesh: Mesh = { file: '', config, warnings: [] };
  return edgesOf(config).flatMap((edge): Finding[] => {
    const { gateway, listen, listenPath } = edge;
    if (gateway === undefined || listen.tls === undefined) return [];
    const part = proxyPart(mesh, gateway.name, 'gateway');
    const clusters = part.listeners.flatMap(({ routes }) =>
      routes.flatMap(({ cluster, split }) => split?.map((one) => one.cluster) ?? [cluster]),
    );
    const plain = new Set(
      clusters
        .filter(
          ({ meshed, tls, endpoints }) =>
            meshed &&
            tls === undefined &&
            endpoints.some(({ host }) => !/^(localhost|127\.[0-9.]+|::1)$/.test(host)),
        )
        .map(({ name }) => name),
    );
    if (plain.size === 0) return [];
    const mode = config.identity?.mode ?? 'off';
    return [
      {
        rule: 'tls-ends-at-edge',
        consequence: `${plain.size} of ${new Set(clusters.map(({ name }) => name)).size} services behind ${gateway.name} get in plain over the network what clients sent by TLS: ${[...plain].join(', ')}`,
        mend: 'add identity with mode permissive, then strict',
        places: [
          { path: [...listenPath, 'tls'], says: 'clients speak TLS' },
          {
            path: config.identity === undefined ? [] : ['identity', 'mode'],
            says: `identity is ${mode}: calls are plain`,
          },
        ],
      },
    ];
  });
}

/** Where certificates are required, no file has to vouch for callers. */
export function meshOnlyNotNeeded({ config }: LintInput): Finding[] {
  if (config.identity?.mode !== 'strict') return [];
  return config.sidecars.flatMap((sidecar, index) =>
    sidecar.serves.flatMap((served, at): Finding[] => {
      if (served.inbound?.mesh_only !== true) return [];
      return [
        {
          rule: 'mesh-only-not-needed',
          consequence: `0 callers are believed by it: every one of ${served.workload} proves who it is. With mode accept or permissive it would let a plain caller name itself`,
          mend: 'remove mesh_only',
          places: [
            { path: ['identity'], says: 'strict' },
            {
              path: ['sidecars', index, 'serves', at, 'inbound', 'mesh_only'],
              says: 'vouches for callers',
            },
          ],
        },
      ];
    }),
  );
}

/** A gateway's route of which every request is refused by an allow-list. */
export function allowWithoutGateway({ config }: LintInput): Finding[] {
  const byTarget = new Map<string, { outer: EdgeRoute; meetings: Meeting[] }>();
  for (const meeting of meetingsOf(config)) {
    const key = `${meeting.outer.path.join(' ')} ${meeting.workload.name}`;
    const known = byTarget.get(key) ?? { outer: meeting.outer, meetings: [] };
    known.meetings.push(meeting);
    byTarget.set(key, known);
  }
  return [...byTarget.values()].flatMap(({ outer, meetings }): Finding[] => {
    const { edge, workload, workloadPath } = meetings[0]!;
    const gateway = edge.gateway!;
    const listOf = ({ inner }: Meeting) => inner?.config.allow ?? workload.allow;
    if (meetings.some((meeting) => admits(config, listOf(meeting), gateway))) return [];
    const { inner } = meetings[0]!;
    const path: Path =
      inner?.config.allow === undefined ? [...workloadPath, 'allow'] : [...inner.path, 'allow'];
    return [
      {
        rule: 'allow-without-gateway',
        consequence: `0 requests of "${outer.config.path}" get through: ${workload.name} does not allow ${edge.name}, and every one is answered 403`,
        mend: `add ${edge.name} to allow, or remove the route`,
        places: [
          { path: outer.path, says: `${edge.name} calls ${workload.name}` },
          { path, says: `allows ${(listOf(meetings[0]!) ?? []).join(', ')}` },
        ],
      },
    ];
  });
}

/** Ids that no proxy of this mesh believes. */
export function allowOfAnotherDomain({ config }: LintInput): Finding[] {
  const { identity } = config;
  if (identity === undefined) return [];
  const lists = config.workloads.flatMap(({ allow, routes }, index) => [
    { allow, path: ['workloads', index, 'allow'] as Path },
    ...routes.map((route, at) => ({
      allow: route.allow,
      path: ['workloads', index, 'routes', at, 'allow'] as Path,
    })),
  ]);
  return lists.flatMap(({ allow, path }) =>
    (allow ?? []).flatMap((caller, at): Finding[] => {
      const domain = /^spiffe:\/\/([^/]*)\//.exec(caller)?.[1];
      if (domain === undefined || domain === identity.trust_domain) return [];
      return [
        {
          rule: 'allow-of-another-domain',
          consequence: `0 callers are let in by "${caller}": certificates of another trust domain than ${identity.trust_domain} are refused before any list is read`,
          mend: `write spiffe://${identity.trust_domain}/…, or remove it`,
          places: [
            { path: ['identity', 'trust_domain'], says: identity.trust_domain },
            { path: [...path, at], says: domain },
          ],
        },
      ];
    }),
  );
}
