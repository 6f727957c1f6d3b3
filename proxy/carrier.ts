/**
 * A judged request on its way upstream: its head and body go out on an attempt, and on another one
 * where the first failed and the rules allow it. One per exchange, used again for each request.
 *
 *   carry ──► attempt 1 ──► the relay reads an answer ──► complete, or handOver (a tunnel)
 *                │ └─(pooled connection was closing)─► attempt 2
 *                └─(the route retries)─► pause ─► attempt n
 *
 * Says when an attempt begins, ends and is followed by another; attempts.ts has the connections,
 * retries.ts the rules, hop-timers.ts and waits.ts the deadlines, request-copy.ts the copy that a route
 * makes. Never answers the client: a request that goes no further ends by the owner's `fail`.
 */
import { monotonicMs } from '../runtime/clock.ts';
import { FUNCTIONS, RESPONSE_FLAGS, T, type HopRecord } from '../telemetry/hop-record.ts';
import { Attempts } from './attempts.ts';
import { BODY_NONE, parsed } from './codec/fields.ts';
import { writeText } from './codec/output.ts';
import type { Downstream } from './downstream-port.ts';
import type { HopMeter } from './hop-meter.ts';
import type { FilterRun } from './filters/filter-run.ts';
import { HopTimers } from './hop-timers.ts';
import type { CompiledRoute, ListenerContext } from './listener-context.ts';
import { TOO_LARGE, type RequestBody } from './request-body.ts';
import { isSafe } from './request-rules.ts';
import { failureOfConnect, type FailureName } from './rescue.ts';
import { MARK_LINE, MIRROR, RequestCopy } from './request-copy.ts';
import type { ResponseRelay } from './response-relay.ts';
import { Retries } from './retries.ts';
import type { RetryRules } from './retry-rules.ts';
import type { RoutedRequest } from './routed-request.ts';
import type { UpstreamConnection, UpstreamUser } from './upstream.ts';
import {
  askedLeftMs,
  upstreamHead,
  writeUpstreamHead,
  type HeadChanges,
} from './upstream-request.ts';
import type { Waits } from './waits.ts';

const HYGIENE = FUNCTIONS.indexOf('hygiene');

/** The route would have tried again, but not so often, or not with so many others. */
const RETRIES_SPENT = 1 << RESPONSE_FLAGS.indexOf('URX');

/** The exchange, and those of its parts that a request on its way upstream moves. */
export interface CarrierParts {
  readonly owner: {
    readonly request: RoutedRequest;
    readonly filters: FilterRun | undefined;
    /** Ends the hop by a failure, which drops the attempt that is open. */
    fail(name: FailureName): void;
  };
  readonly down: Downstream;
  readonly context: ListenerContext;
  readonly meter: HopMeter;
  readonly waits: Waits;
  readonly body: RequestBody;
  readonly relay: ResponseRelay;
}

export class Carrier implements UpstreamUser {
  readonly #owner: CarrierParts['owner'];
  readonly #down: Downstream;
  readonly #context: ListenerContext;
  readonly #meter: HopMeter;
  readonly #record: HopRecord;
  readonly #waits: Waits;
  readonly #body: RequestBody;
  readonly #relay: ResponseRelay;
  readonly #attempts: Attempts;
  readonly #parts: CarrierParts;
  /** Made for the first request that needs them. */
  #timers: HopTimers | undefined;
  #retries: Retries | undefined;
  #copy: RequestCopy | undefined;

  constructor(parts: CarrierParts) {
    const { owner, down, context, meter, waits, body, relay } = parts;
    this.#parts = parts;
    this.#owner = owner;
    this.#down = down;
    this.#context = context;
    this.#meter = meter;
    this.#record = meter.record;
    this.#waits = waits;
    this.#body = body;
    this.#relay = relay;
    this.#attempts = new Attempts(this, meter, context.shared.load);
  }

  /** Milliseconds that all of the hop may take, from now on; -1: as long as it needs. */
  limit(b: Buffer, route: CompiledRoute, nowMs: number): number {
    // Whoever is outside could only shorten its own wait, and would tell us how we are built.
    const askedMs = this.#context.isEdge ? -1 : askedLeftMs(b);
    const ownMs = route.policy?.timeout_ms ?? -1;
    if (askedMs < 0 && ownMs < 0) return -1;
    const isAsked = ownMs < 0 || (askedMs >= 0 && askedMs <= ownMs);
    const leftMs = isAsked ? askedMs : ownMs;
    this.#record.deadlineMs = leftMs;
    if (leftMs > 0) {
      this.#ownTimers().limit(leftMs, isAsked ? 'deadline_exceeded' : 'route_timeout', nowMs);
    }
    return leftMs;
  }

  /**
   * Sends the request just parsed on its way: its head at b[s, e), and what of b[e, n) is of its
   * body. Returns the position of the first byte that is not of this request.
   */
  carry(
    b: Buffer,
    head: string,
    s: number,
    e: number,
    n: number,
    nowMs: number,
    restarted: boolean,
    sinceMs: number,
    changes?: HeadChanges,
  ): number {
    const context = this.#context;
    const { request } = this.#owner;
    const record = this.#record;
    const route = request.route!;
    const { bodyKind, bodyBytes } = parsed;
    const leftMs = this.#timers?.leftMs(sinceMs) ?? -1;
    const marks = request.mirrored && route.cluster.role !== 'external' ? MARK_LINE : '';
    const down = this.#down;
    writeUpstreamHead(b, head, s, context, route, record, restarted, down, leftMs, changes, marks);
    const { trailers } = upstreamHead;
    request.protocols = upstreamHead.protocols;
    if (trailers !== undefined) this.#body.start(bodyKind, bodyBytes, trailers);

    if (context.shared.load.isFull) return this.#refuse('overloaded', e);
    if (!route.runtime.enter()) return this.#refuse('upstream_overflow', e);
    let sendMs = monotonicMs();
    record.phaseNs[HYGIENE] = (sendMs - sinceMs) * 1e6;
    const repeatable = bodyKind === BODY_NONE && isSafe(request.method);
    this.#attempts.prepare(route, repeatable);
    if (route.mirroring !== undefined) {
      this.#copy ??= new RequestCopy(this.#parts);
      this.#copy.begin(route.mirroring, record, b, head, s, leftMs, sendMs);
      const begunMs = monotonicMs();
      if (request.copied) record.phaseNs[MIRROR] = (begunMs - sendMs) * 1e6;
      sendMs = begunMs;
    }
    this.#waits.start(route, request.expectsContinue);
    if (route.retry !== undefined) this.#mayRetry(route.retry, route, sendMs);
    if (!this.#startAttempt(sendMs)) return this.#refuse('upstream_pending_overflow', e);
    return this.#send(b, e, n, nowMs, this.#attempts.head);
  }

  /** Bytes of the request body: b[0, n). Returns as `carry` does. */
  data(b: Buffer, n: number): number {
    // Answered already, and only the client is still to take it: the rest is of no use.
    if (this.#attempts.upstream === undefined) return n;
    const nowMs = monotonicMs();
    this.#waits.came(n, nowMs);
    return this.#send(b, 0, n, nowMs, '');
  }

  /** The open attempt failed: the request goes once more, or the hop ends by that failure. */
  attemptFails(name: FailureName): void {
    const nowMs = monotonicMs();
    if (this.#relay.begun) {
      this.#owner.fail(name);
      return;
    }
    const verdict = this.#retries?.afterFailure(name, this.#record.attemptCount, nowMs);
    if (verdict === 'again') {
      this.#meter.endsBy(name);
      this.#pause(nowMs, false);
      return;
    }
    if (verdict === 'spent') this.#record.flags |= RETRIES_SPENT;
    this.#owner.fail(name);
  }

  /**
   * The attempt was answered with `status`: true when the request goes again instead. `reusable`:
   * the answer is all here, and its connection ended exactly with it.
   */
  triesAgain(status: number, reusable: boolean): boolean {
    this.#timers?.tryEnds();
    if (this.#retries === undefined) return false;
    const nowMs = monotonicMs();
    const verdict = this.#retries.afterStatus(status, this.#record.attemptCount, nowMs);
    if (verdict === 'spent') this.#record.flags |= RETRIES_SPENT;
    if (verdict !== 'again') return false;
    this.#meter.attempt.status = status;
    this.#pause(nowMs, reusable && this.#body.done);
    return true;
  }

  /** The client does not take more of the answer. */
  pauseAnswer(): void {
    this.#attempts.upstream?.socket.pause();
  }

  /** It does again: the hop waits for whoever is to move it on. */
  goOn(nowMs: number): void {
    this.#attempts.upstream?.socket.resume();
    if (this.#relay.begun) this.#waits.stream();
    else this.#body.goOn(nowMs);
  }

  /** The whole answer was read. `reusable`: its connection ended exactly with it. */
  complete(reusable: boolean): void {
    // What is left is the client's to take.
    this.#timers?.clear();
    this.#attempts.complete(this.#record.timesMs[T.responseLast]!, reusable && this.#body.done);
  }

  /** The connection becomes a tunnel, and with it the permit goes to whoever has that. */
  handOver(): UpstreamConnection {
    return this.#attempts.handOver(this.#record.timesMs[T.responseLast]!);
  }

  /** Ends what is open, if anything is: the upstream is closed at once. Safe to call twice. */
  drop(nowMs: number): void {
    this.#attempts.drop(nowMs);
  }

  /** The hop ended. Safe to call twice. */
  clear(): void {
    this.#timers?.clear();
    this.#retries?.clear();
    this.#copy?.end();
  }

  // ---- UpstreamUser

  upstreamConnected(): void {
    const nowMs = monotonicMs();
    this.#attempts.connected();
    this.#meter.connected(nowMs);
    if (this.#body.done) this.#record.timesMs[T.upstreamLast] = nowMs;
    this.#body.goOn(nowMs);
  }

  upstreamData(b: Buffer, n: number): void {
    this.#meter.received(monotonicMs());
    if (this.#relay.begun) this.#waits.stream();
    try {
      this.#relay.data(b, n);
    } catch (error) {
      // A fault of ours ends one request, never the process.
      this.#context.shared.onFault(error);
      this.#owner.fail('internal');
    }
  }

  upstreamDrained(): void {
    this.#body.upstreamDrained();
  }

  upstreamEnded(errorCode: string): void {
    const { upstream } = this.#attempts;
    if (upstream === undefined) return;
    if (errorCode === '' && this.#relay.endOfConnection()) return;
    const name = errorCode === 'ECONNRESET' ? 'upstream_reset' : 'upstream_closed';
    if (!upstream.connected) this.attemptFails(failureOfConnect(errorCode));
    else if (this.#attempts.mayGoAgain) {
      this.#relay.start();
      this.#meter.endsBy(name);
      const nowMs = monotonicMs();
      const { socket } = this.#attempts.again(nowMs, this.#timers?.leftMs(nowMs) ?? -1);
      this.#attemptStarted();
      writeText(socket, this.#attempts.head);
    } else this.attemptFails(name);
  }

  // ---- within

  /** Fails before anything was sent. Returns where the rest of the bytes begins: at `e`. */
  #refuse(name: FailureName, e: number): number {
    this.#owner.fail(name);
    return e;
  }

  /** As RequestBody.send, with its refusals acted on: then everything counts as read. */
  #send(b: Buffer, p: number, n: number, nowMs: number, prefix: string): number {
    const at = this.#body.send(this.#attempts.upstream!, b, p, n, nowMs, prefix);
    if (at >= 0) {
      this.#attempts.sent();
      this.#copy?.move();
      return at;
    }
    this.#owner.fail(at === TOO_LARGE ? 'request_body_too_large' : 'request_malformed');
    return n;
  }

  #ownTimers(): HopTimers {
    this.#timers ??= new HopTimers(this.#context.shared.timers, (name) => this.#timeIsUp(name));
    return this.#timers;
  }

  /** A timer of this hop fired. */
  #timeIsUp(name: FailureName): void {
    if (name === 'try_timeout') this.attemptFails(name);
    else this.#owner.fail(name);
  }

  #mayRetry(rules: RetryRules, route: CompiledRoute, nowMs: number): void {
    this.#retries ??= new Retries(this.#context.shared.load);
    this.#retries.start(rules, route.runtime.retryBudget, this.#owner.request.method, nowMs);
    if (!this.#body.done) this.#body.replay = this.#retries.replay;
    this.#ownTimers();
  }

  /** Begins an attempt; false when too many requests wait for a connection. */
  #startAttempt(nowMs: number): boolean {
    const leftMs = this.#timers?.leftMs(nowMs) ?? -1;
    if (this.#attempts.next(nowMs, leftMs) === undefined) return false;
    this.#attemptStarted();
    return true;
  }

  #attemptStarted(): void {
    if (!this.#attempts.upstream!.connected) this.#waits.connect();
    const tryMs = this.#owner.request.route!.policy?.try_timeout_ms;
    if (tryMs !== undefined) this.#ownTimers().tryBegins(tryMs);
  }

  /** Ends the attempt, and goes again after the pause of the route's rules. */
  #pause(nowMs: number, reusable: boolean): void {
    this.#attempts.giveUp(nowMs, reusable);
    this.#timers!.tryEnds();
    this.#relay.start();
    this.#meter.backoffBegin(nowMs);
    this.#waits.nobody();
    // What comes meanwhile has nowhere to go.
    if (!this.#body.done) this.#down.pauseRequest();
    const pauseMs = this.#retries!.pauseMs(this.#record.attemptCount, this.#timers!.chance());
    this.#timers!.pause(pauseMs, () => this.#goAgain());
  }

  #goAgain(): void {
    const nowMs = monotonicMs();
    this.#meter.backoffEnd(nowMs);
    if (!this.#startAttempt(nowMs)) {
      this.#owner.fail('upstream_pending_overflow');
      return;
    }
    const upstream = this.#attempts.upstream!;
    this.#body.sendAgain(upstream, this.#attempts.head, this.#retries!.replay);
    this.#attempts.sent();
  }
}
