/**
 * An upgraded connection (WebSocket): after the 101 the bytes of both sides pass as they are, with
 * backpressure, and each direction ends by itself. The request that led here is recorded as one hop
 * of stream class `tunnel` when the 101 passes; what follows is no hop and has no sequence number.
 * Instead a record of the bytes is written every `tunnelIntervalMs`, and a last one at the end:
 *
 *     request ─ 101 │ hop   ├── interval 1 ──┼── interval 2 ──┼─ 3, ended ─┤
 *
 * Keeps the cluster's permit: a tunnel is as much load as a request in flight. Ends exactly once.
 */
import { monotonicMs } from '../runtime/clock.ts';
import type { HopRecord } from '../telemetry/hop-record.ts';
import type { TunnelEnd, TunnelRecord } from '../telemetry/tunnel-span.ts';
import { Backlog } from './backlog.ts';
import { writeBytes } from './codec/output.ts';
import { NEVER, type Deadlined } from './deadlines.ts';
import type { Downstream, DownstreamUser } from './downstream-port.ts';
import type { ListenerContext } from './listener-context.ts';
import type { RecordedShape } from './recorder.ts';
import { newSpanId } from './trace-context.ts';
import type { UpstreamConnection, UpstreamUser } from './upstream.ts';

export interface TunnelSettings {
  readonly down: Downstream;
  readonly upstream: UpstreamConnection;
  readonly context: ListenerContext;
  readonly shape: RecordedShape;
  /** The hop of the handshake; read in the constructor, not kept. */
  readonly hop: HopRecord;
  /** Called once, when the tunnel has ended: the permit goes back. */
  readonly onEnded: () => void;
}

export class Tunnel implements DownstreamUser, UpstreamUser, Deadlined {
  readonly #settings: TunnelSettings;
  readonly #record: TunnelRecord;
  deadline = NEVER;
  deadlineIndex = -1;
  /** Bytes that each side does not take. */
  readonly #backlogs: readonly [Backlog, Backlog];
  #ended: TunnelEnd = '';
  #closed = false;

  constructor(settings: TunnelSettings) {
    this.#settings = settings;
    const { hop, context, upstream } = settings;
    this.#record = {
      traceId: hop.traceId.slice(),
      hopSpanId: hop.spanId.slice(),
      spanId: new Uint32Array(2),
      traceFlags: hop.traceFlags,
      startMs: monotonicMs(),
      endMs: 0,
      interval: 0,
      bytesIn: 0,
      bytesOut: 0,
      totalBytesIn: 0,
      totalBytesOut: 0,
      ended: '',
    };
    const { deadlines, limits, load } = context.shared;
    this.#backlogs = [new Backlog(load), new Backlog(load)];
    deadlines.add(this);
    this.deadline = deadlines.in(limits.tunnelIntervalMs);
    upstream.use(this);
    this.#byteSeen();
  }

  // ---- DownstreamUser

  downstreamData(b: Buffer, n: number): void {
    const { down, upstream } = this.#settings;
    this.#record.bytesIn += n;
    this.#byteSeen();
    if (!upstream.socket.writable) return;
    if (!writeBytes(upstream.socket, b, n)) down.socket.pause();
    if (upstream.socket.writableLength > 0) this.#backlogs[0].watch(upstream.socket);
  }

  downstreamDrained(): void {
    this.#settings.upstream.socket.resume();
  }

  downstreamEnded(): void {
    this.#ended ||= 'client';
    this.#settings.upstream.socket.end();
  }

  downstreamClosed(): void {
    this.#end('client');
  }

  // ---- UpstreamUser

  upstreamConnected(): void {
    // It was connected before it became a tunnel.
  }

  upstreamData(b: Buffer, n: number): void {
    const { down, upstream } = this.#settings;
    this.#record.bytesOut += n;
    this.#byteSeen();
    if (!down.socket.writable) return;
    if (!writeBytes(down.socket, b, n)) upstream.socket.pause();
    if (down.socket.writableLength > 0) this.#backlogs[1].watch(down.socket);
  }

  upstreamDrained(): void {
    this.#settings.down.socket.resume();
  }

  upstreamEnded(errorCode: string): void {
    const { down, upstream } = this.#settings;
    this.#ended ||= 'upstream';
    if (errorCode !== '') {
      down.reset();
      this.#end('upstream');
    } else if (!upstream.socket.destroyed) down.socket.end();
    else this.#end('upstream');
  }

  // ---- time and the process

  onDeadline(): void {
    this.#writeInterval();
    const { deadlines, limits } = this.#settings.context.shared;
    this.deadline = deadlines.in(limits.tunnelIntervalMs);
  }

  drain(): void {
    this.#ended ||= 'shutdown';
    this.#settings.down.socket.end();
    this.#settings.upstream.socket.end();
  }

  cut(why: TunnelEnd): void {
    this.#end(why);
    this.#settings.down.socket.destroy();
  }

  /** Begins the time that may pass until the next byte. */
  #byteSeen(): void {
    const { down, context } = this.#settings;
    down.setDeadline('tunnel', context.shared.limits.tunnelIdleTimeoutMs);
  }

  #end(why: TunnelEnd): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#ended ||= why;
    const { context, upstream, down, onEnded } = this.#settings;
    context.shared.deadlines.remove(this);
    for (const backlog of this.#backlogs) backlog.release();
    this.#record.ended = this.#ended;
    this.#writeInterval();
    // Where both sides ended in order, the last bytes may still be on their way to the upstream.
    if (down.socket.readableEnded && upstream.socket.writableEnded) {
      upstream.releaseAfterFlush(context.shared.limits.lingerTimeoutMs);
    } else upstream.release(false);
    onEnded();
  }

  #writeInterval(): void {
    const record = this.#record;
    const { context, shape } = this.#settings;
    record.endMs = monotonicMs();
    record.interval++;
    record.totalBytesIn += record.bytesIn;
    record.totalBytesOut += record.bytesOut;
    newSpanId(record.spanId);
    context.shared.recorder.recordTunnel(shape, record);
    record.startMs = record.endMs;
    record.bytesIn = 0;
    record.bytesOut = 0;
  }
}
