/**
 * The limits of a running process as the admin application shows them: what holds, how much of it
 * is used, and how often each was met.
 */
import type { ListenerContext, ProxyShared } from './listener-context.ts';

/** As it crosses process borders. */
export interface LimitsJson {
  readonly connections: number;
  readonly connections_max: number;
  readonly requests_in_flight: number;
  readonly held_bytes: number;
  readonly held_peak_bytes: number;
  readonly held_bytes_max: number;
  readonly listeners: readonly {
    readonly name: string;
    readonly connections: number;
    /** By `error.type`, and connections that were reset at once. */
    readonly refused: Readonly<Record<string, number>>;
    readonly garbage: number;
    /** TLS handshakes completed, and seconds that they took together; absent without TLS. */
    readonly tls?: { readonly handshakes: number; readonly handshakes_s: number };
  }[];
}

export function limitsJson(
  { load, limits, recorder }: Pick<ProxyShared, 'load' | 'limits' | 'recorder'>,
  contexts: readonly ListenerContext[],
): LimitsJson {
  return {
    connections: load.connections,
    connections_max: Math.min(load.connectionsMax, limits.connectionsPerListener * contexts.length),
    requests_in_flight: recorder.inFlight,
    held_bytes: load.heldBytes,
    held_peak_bytes: load.heldPeakBytes,
    held_bytes_max: load.memoryBytesMax,
    listeners: listenersJson(contexts),
  };
}

export const listenersJson = (contexts: readonly ListenerContext[]): LimitsJson['listeners'] =>
  contexts.map(({ listener, admission, garbage, gate }) => ({
    name: listener.name,
    connections: admission.connections,
    refused: Object.fromEntries(admission.refused),
    garbage,
    ...(gate === undefined
      ? {}
      : { tls: { handshakes: gate.handshakes, handshakes_s: gate.handshakesMs / 1000 } }),
  }));
