/**
 * The record of a tunnel's interval, as an INTERNAL span below the hop of its handshake. Not a hop:
 * no `azimuth.hop`, no sequence number, no item of a ledger, so that no figure can count a tunnel's
 * life as requests. One a minute and tunnel: convenience before speed.
 *
 * A record that is lost leaves a gap in `azimuth.tunnel.interval`; its bytes are still in the totals
 * of the next one.
 */
import { idBytes } from './attribute-spans.ts';
import { directionOf } from './edge-class.ts';
import type { HopShape } from './hop-record.ts';
import { ns } from './hop-times.ts';
import { MessageWriter } from './message-writer.ts';
import { ATTR, PLAIN_HOP, TUNNEL } from './names.ts';

/** Why a tunnel ended; '' while it lives. `client` and `upstream`: that side ended first. */
export type TunnelEnd = '' | 'client' | 'upstream' | 'idle' | 'shutdown';

/** One interval of one tunnel. Times in milliseconds of the monotonic clock. */
export interface TunnelRecord {
  readonly traceId: Uint32Array;
  /** Span id of the handshake's hop: the parent. */
  readonly hopSpanId: Uint32Array;
  readonly spanId: Uint32Array;
  readonly traceFlags: number;
  startMs: number;
  endMs: number;
  /** From 1 without gaps. */
  interval: number;
  /** Bytes from downstream and to it, in this interval. */
  bytesIn: number;
  bytesOut: number;
  /** The same since the tunnel began. */
  totalBytesIn: number;
  totalBytesOut: number;
  ended: TunnelEnd;
}

const INTERNAL = 1;

/** The span as field 2 of a ScopeSpans. `anchorNs`: wall nanoseconds at monotonic 0. */
export function tunnelSpan(record: TunnelRecord, shape: HopShape, anchorNs: bigint): Buffer {
  const writer = new MessageWriter();
  const text = (key: string, value: string): void => {
    if (value !== '') writer.attribute(9, key, value);
  };
  writer.begin(2).bytes(1, idBytes(record.traceId)).bytes(2, idBytes(record.spanId));
  writer.bytes(4, idBytes(record.hopSpanId)).string(5, 'tunnel interval').varint(6, INTERNAL);
  writer.fixed64(7, anchorNs + BigInt(ns(record.startMs)));
  writer.fixed64(8, anchorNs + BigInt(ns(record.endMs)));
  text(ATTR.route, shape.route);
  text(ATTR.serverAddress, shape.serverAddress);
  text(ATTR.peerName, shape.peer);
  text(ATTR.proxySide, shape.side);
  text(ATTR.edgeClass, shape.edgeClass);
  text(ATTR.direction, directionOf(shape.edgeClass, 'split'));
  text(ATTR.target, shape.target);
  text(PLAIN_HOP.streamClass, 'tunnel');
  writer.attribute(9, TUNNEL.interval, BigInt(record.interval));
  writer.attribute(9, TUNNEL.bytesIn, BigInt(record.bytesIn));
  writer.attribute(9, TUNNEL.bytesOut, BigInt(record.bytesOut));
  writer.attribute(9, TUNNEL.totalBytesIn, BigInt(record.totalBytesIn));
  writer.attribute(9, TUNNEL.totalBytesOut, BigInt(record.totalBytesOut));
  text(TUNNEL.ended, record.ended);
  return writer
    .fixed32(16, (record.traceFlags & 0xff) | 0x100)
    .end()
    .finish();
}
