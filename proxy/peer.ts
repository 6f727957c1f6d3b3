/**
 * Who the downstream of a listener is, and what edge class that makes: facts of the listener first,
 * then what the client's certificate proved (identity/tls-gate.ts).
 * A header counts only where the listener was declared `mesh_only`, so that nobody outside can name
 * himself a workload; what it says is recorded as known by `configuration`.
 */
import { spiffeId } from '../mesh/identity.ts';
import type { IdentityPart, Listener, Route } from '../mesh/part.ts';
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
  /** SPIFFE id, where it is beyond doubt: by certificate, or by the listener; else ''. */
  readonly id: string;
}

const UNKNOWN: Peer = { name: '', role: '', known: 'unknown', id: '' };
const OUTSIDE: Peer = { name: '', role: 'external', known: 'listener', id: '' };
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
  readonly #certified = new Map<string, Peer>();
  readonly #namedMax: number;
  readonly #certifiedMax: number;

  constructor(listener: Listener, namedMax: number, identity: IdentityPart | undefined) {
    this.#namedMax = namedMax;
    for (const [id, { name, role }] of Object.entries(identity?.peers ?? {})) {
      this.#certified.set(id, { name, role, known: 'mtls', id });
    }
    this.#certifiedMax = this.#certified.size + namedMax;
    this.believes = listener.side === 'inbound' && listener.mesh_only;
    const { workload } = listener;
    if (listener.side === 'ingress') this.unnamed = OUTSIDE;
    else if (listener.side === 'outbound') {
      // The port is the caller's identity: only the local workload reaches it.
      const { name, role } = workload;
      const id = identity === undefined ? '' : spiffeId(identity.trust_domain, workload);
      this.unnamed = { name, role, known: 'listener', id };
    } else this.unnamed = UNKNOWN;
  }

  /**
   * Peer by the SPIFFE id that its certificate proved. One that the mesh file does not name has no
   * role, so that its hops are of no known edge class.
   */
  certified(id: string): Peer {
    const kept = this.#certified.get(id);
    if (kept !== undefined) return kept;
    const name = id.slice(id.lastIndexOf('/') + 1);
    const peer: Peer = { name: NAME.test(name) ? name : '', role: '', known: 'mtls', id };
    // Only an authority of ours can make such names up; the store is bounded all the same.
    if (this.#certified.size >= this.#certifiedMax) return { ...peer, name: '' };
    this.#certified.set(id, peer);
    return peer;
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
    const peer: Peer = { name, role: role as PeerRole, known: 'configuration', id: '' };
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
