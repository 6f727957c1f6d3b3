/**
 * The traffic model: edge classes are stored facts, direction is derived from them under a
 * perspective. The position in a list is the number on the wire and in the store: append only.
 */
export const PROXY_ROLES = ['', 'gateway', 'sidecar'] as const;
export const PROXY_SIDES = ['', 'ingress', 'inbound', 'outbound'] as const;
export const EDGE_CLASSES = [
  'unknown',
  'external_to_gateway',
  'external_to_bff',
  'gateway_to_workload',
  'gateway_to_bff',
  'gateway_bff_to_workload',
  'bff_to_workload',
  'workload_to_workload',
  'workload_to_external',
  'loopback',
] as const;
export const DIRECTIONS = ['unknown', 'north_south', 'east_west', 'neither'] as const;
export const PERSPECTIVES = ['split', 'whole'] as const;
/** What kind of party a peer or a local workload is. `gateway_bff`: a BFF whose sidecar performs the gateway's functions. */
export const PEER_ROLES = ['', 'external', 'gateway', 'bff', 'gateway_bff', 'workload'] as const;
/** How the peer is known. */
export const PEER_KNOWN = ['unknown', 'mtls', 'listener', 'configuration'] as const;

export type ProxyRole = (typeof PROXY_ROLES)[number];
export type ProxySide = (typeof PROXY_SIDES)[number];
export type EdgeClass = (typeof EDGE_CLASSES)[number];
export type Direction = (typeof DIRECTIONS)[number];
export type Perspective = (typeof PERSPECTIVES)[number];
export type PeerRole = (typeof PEER_ROLES)[number];
export type PeerKnown = (typeof PEER_KNOWN)[number];

const DIRECTION_OF: Record<EdgeClass, { split: Direction; whole: Direction }> = {
  external_to_gateway: { split: 'north_south', whole: 'north_south' },
  external_to_bff: { split: 'north_south', whole: 'north_south' },
  // The gateway's internal leg: inside the gateway seen as a whole, in the mesh seen split.
  gateway_to_workload: { split: 'east_west', whole: 'north_south' },
  gateway_to_bff: { split: 'east_west', whole: 'north_south' },
  gateway_bff_to_workload: { split: 'east_west', whole: 'north_south' },
  bff_to_workload: { split: 'east_west', whole: 'east_west' },
  workload_to_workload: { split: 'east_west', whole: 'east_west' },
  workload_to_external: { split: 'north_south', whole: 'north_south' },
  loopback: { split: 'neither', whole: 'neither' },
  unknown: { split: 'unknown', whole: 'unknown' },
};

/** Direction of a hop: a function of its edge class and the perspective, nothing else. */
export function directionOf(edgeClass: EdgeClass, perspective: Perspective): Direction {
  return DIRECTION_OF[edgeClass][perspective];
}

/** True where the hop counts as one request from outside. */
export const isRequest = (edgeClass: EdgeClass): boolean =>
  edgeClass === 'external_to_gateway' || edgeClass === 'external_to_bff';

/**
 * Edge class of a hop at a sidecar's inbound side: by the calling workload's role. A caller that
 * nobody vouches for is `unknown`, never external.
 */
export function inboundEdgeClass(peer: PeerRole, localIsBff: boolean): EdgeClass {
  switch (peer) {
    case 'gateway':
      return localIsBff ? 'gateway_to_bff' : 'gateway_to_workload';
    case 'gateway_bff':
      return 'gateway_bff_to_workload';
    case 'bff':
      return 'bff_to_workload';
    case 'workload':
      return 'workload_to_workload';
    case 'external':
    case '':
      return 'unknown';
  }
}
