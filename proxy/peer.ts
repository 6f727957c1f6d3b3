/**
 * Who the downstream of a listener is, and what edge class that makes: facts of the listener first.
 * A header counts only where the listener was declared `mesh_only`, so that nobody outside can name
 * himself a workload; what it says is recorded as known by `configuration`.
 */
import type { Listener, Route } from '../mesh/part.ts';
import {
  inboundEdgeClass,
  PEER_ROLES,
  type EdgeClass,
  type PeerKnown,
  type PeerRole,
} from '../telemetry/edge-class.ts';

export interface Peer {
  /** Calling workload; '' when unknown or external. */
  readonly name: string;
  readonly role: PeerRole;
  readonly known: PeerKnown;
}

const UNKNOWN: Peer = { name: '', role: '', known: 'unknown' };
const OUTSIDE: Peer = { name: '', role: 'external', known: 'listener' };
/** Roles that a caller in the mesh can have. */
const CALLER_ROLES = new Set<string>(
  PEER_ROLES.filter((role) => role !== '' && role !== 'external'),
);
/** Workload names are DNS labels, as in the mesh file. */
const NAME = /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/;

/** The peers of one listener. Peer objects are few and kept: the same header, the same object. */
export class Peers {
  /** The peer of a request that carries no believable header. */
  readonly unnamed: Peer;
  /** True when `azimuth-peer` is believed here. */
  readonly believes: boolean;
  readonly #named = new Map<string, Peer>();
  readonly #namedMax: number;

  constructor(listener: Listener, namedMax: number) {
    this.#namedMax = namedMax;
    this.believes = listener.side === 'inbound' && listener.mesh_only;
    const { workload } = listener;
    if (listener.side === 'ingress') this.unnamed = OUTSIDE;
    else if (listener.side === 'outbound') {
      // The port is the caller's identity: only the local workload reaches it.
      this.unnamed = { name: workload.name, role: workload.role, known: 'listener' };
    } else this.unnamed = UNKNOWN;
  }

  /** Peer by the value of `azimuth-peer`; an odd one, or one too many, is unknown. */
  named(value: string): Peer {
    const kept = this.#named.get(value);
    if (kept !== undefined) return kept;
    const semicolon = value.indexOf(';');
    const role = value.slice(0, semicolon);
    const name = value.slice(semicolon + 1);
    if (semicolon < 0 || !CALLER_ROLES.has(role) || !NAME.test(name)) return UNKNOWN;
    // Names are label values: a caller that makes them up must not fill the store with them.
    if (this.#named.size >= this.#namedMax) return UNKNOWN;
    const peer: Peer = { name, role: role as PeerRole, known: 'configuration' };
    this.#named.set(value, peer);
    return peer;
  }
}

/** Edge class of a hop: by side, peer, and (outbound) whether the target is outside the mesh. */
export function edgeClassOf(listener: Listener, peer: Peer, route: Route | undefined): EdgeClass {
  // The gateway's own sidecar is the BFF's too: this pass is the BFF's inbound one.
  if (route?.inbound_of !== undefined) return inboundEdgeClass(peer.role, true);
  const { role } = listener.workload;
  switch (listener.side) {
    case 'ingress':
      // A BFF whose sidecar performs the gateway's functions takes requests from outside too.
      return role === 'gateway' ? 'external_to_gateway' : 'external_to_bff';
    case 'inbound':
      return inboundEdgeClass(peer.role, role === 'bff' || role === 'gateway_bff');
    case 'outbound':
      return route?.cluster.role === 'external' ? 'workload_to_external' : 'loopback';
    case '':
      return 'unknown';
  }
}
