/**
 * Who may come in, and how much the process holds for others. Counts connections of a listener and
 * of each client, bytes in flight of the process, and every refusal by its limit. Decides only; the
 * connection answers or closes (downstream.ts), and rescue.ts names what the client is told.
 *
 *   connection ──► enter ─┬─ room ─────────────────────► served
 *                         ├─ past a limit ─────────────► its first request gets a 503, then closed
 *                         └─ past the margin of those ─► reset at once, counted only
 */
import { connectionsWithin, type Limits } from './limits.ts';
import { FAILURES, type Failure } from './rescue.ts';

/** What all listeners of a process share: bytes and connections. */
export class ProcessLoad {
  readonly memoryBytesMax: number;
  readonly connectionsMax: number;
  connections = 0;
  /** Bytes of messages held because a peer does not take them, or has not sent the rest. */
  heldBytes = 0;
  /** Most of that since the start. */
  heldPeakBytes = 0;

  /** `filesMax`: open files that the system allows the process. */
  constructor(limits: Limits, filesMax: number) {
    this.memoryBytesMax = limits.memoryInFlightBytes;
    this.connectionsMax = connectionsWithin(filesMax);
  }

  /** No new request may begin. */
  get isFull(): boolean {
    return this.heldBytes >= this.memoryBytesMax;
  }

  /** Counts bytes in, or out when negative. */
  hold(deltaBytes: number): void {
    this.heldBytes += deltaBytes;
    if (this.heldBytes > this.heldPeakBytes) this.heldPeakBytes = this.heldBytes;
  }
}

/** The connection is not served at all: too many are being turned away already. */
export const RESET = Symbol('reset');
/** Undefined: served. A failure: what its first request is answered with. */
export type Admitted = Failure | typeof RESET | undefined;

/** Share of the connections that makes a listener crowded. */
const CROWDED_SHARE = 0.9;
/** Name under which connections that were reset at once are counted. */
const RESET_NAME = 'connection_reset';

export class Admission {
  readonly #limits: Limits;
  readonly #load: ProcessLoad;
  /** Connections by client; undefined where all clients have one address (inside the mesh). */
  readonly #byClient: Map<string, number> | undefined;
  readonly #refused = new Map<string, number>();
  /** Open connections that are served. */
  connections = 0;
  #turnedAway = 0;

  /** `isEdge`: the listener is for the outside, where an address tells clients apart. */
  constructor(limits: Limits, load: ProcessLoad, isEdge: boolean) {
    this.#limits = limits;
    this.#load = load;
    this.#byClient = isEdge ? new Map<string, number>() : undefined;
  }

  /** Idle connections should make room. */
  get isCrowded(): boolean {
    const most = Math.min(this.#limits.connectionsPerListener, this.#load.connectionsMax);
    return this.connections > most * CROWDED_SHARE;
  }

  /** Refusals since the start by what was beyond its limit. */
  get refused(): ReadonlyMap<string, number> {
    return this.#refused;
  }

  /** Counts a refusal by the failure's name. */
  count(name: string): void {
    this.#refused.set(name, (this.#refused.get(name) ?? 0) + 1);
  }

  /** A connection opens. What comes back goes to `leave` when it has closed. */
  enter(address: string): Admitted {
    const load = this.#load;
    const client = clientOf(address);
    let failure: Failure | undefined;
    if (
      this.connections >= this.#limits.connectionsPerListener ||
      load.connections >= load.connectionsMax
    ) {
      failure = FAILURES.too_many_connections;
    } else if ((this.#byClient?.get(client) ?? 0) >= this.#limits.connectionsPerClient) {
      failure = FAILURES.too_many_client_connections;
    }
    if (failure === undefined) {
      this.connections++;
      load.connections++;
      this.#byClient?.set(client, (this.#byClient.get(client) ?? 0) + 1);
      return undefined;
    }
    this.count(failure.name);
    if (this.#turnedAway >= this.#limits.turnedAwayPerListener) {
      this.count(RESET_NAME);
      return RESET;
    }
    this.#turnedAway++;
    return failure;
  }

  leave(address: string, admitted: Admitted): void {
    if (admitted === RESET) return;
    if (admitted !== undefined) {
      this.#turnedAway--;
      return;
    }
    this.connections--;
    this.#load.connections--;
    if (this.#byClient === undefined) return;
    const client = clientOf(address);
    const left = (this.#byClient.get(client) ?? 1) - 1;
    if (left === 0) this.#byClient.delete(client);
    else this.#byClient.set(client, left);
  }
}

/** Whom an address counts for: itself, an IPv6 one for its /64, which one customer has whole. */
export function clientOf(address: string): string {
  if (!address.includes(':') || address.includes('.')) return address.replace(/^::ffff:/i, '');
  const [left = '', right] = address.split('::');
  const head = left === '' ? [] : left.split(':');
  const tail = right === undefined || right === '' ? [] : right.split(':');
  const zeros = right === undefined ? 0 : 8 - head.length - tail.length;
  return [...head, ...Array<string>(Math.max(0, zeros)).fill('0'), ...tail].slice(0, 4).join(':');
}
