/**
 * The request that an exchange has in hand: what it asks for, from whom it comes, where it goes, and
 * so what its hop is called in the record. One per exchange, used again for each of its requests.
 * Only reads and judges: it sends nothing, and a refusal is a name that the exchange acts on.
 */
import { monotonicMs } from '../runtime/clock.ts';
import { FUNCTIONS, type HopRecord } from '../telemetry/hop-record.ts';
import type { RecordedShape } from './recorder.ts';
import {
  BODY_LENGTH,
  isPresent,
  isRepeated,
  parsed,
  valueEnd,
  valueIs,
  valueOf,
  valueStart,
} from './codec/fields.ts';
import { requestLine } from './codec/request-head.ts';
import { FIELD } from './codec/tables.ts';
import { ShapeMemo, type CompiledRoute, type ListenerContext } from './listener-context.ts';
import type { Peer } from './peer.ts';
import { hashOfPath, hasDotSegment } from './request-rules.ts';
import type { FailureName } from './rescue.ts';
import { HeadFields } from './head-fields.ts';
import { NO_METHOD, NO_ROUTE, type HostRoutes } from './router.ts';
import { asked, isCountedDown, maxForwards, readAsked } from './upstream-request.ts';

/** What becomes of a request: it is carried, OPTIONS is answered by ourselves, or it is refused. */
export type Verdict = 'carry' | 'answer_options' | FailureName;

const ROUTE = FUNCTIONS.indexOf('route');
const MIRROR_BIT = 1 << FUNCTIONS.indexOf('mirror');
const NO_PROTOCOLS: readonly string[] = [];

export class RoutedRequest {
  readonly #context: ListenerContext;
  readonly #shapes: ShapeMemo;
  readonly #fields = new HeadFields();
  readonly #id: string;
  method = '';
  path = '';
  isHead = false;
  isHttp10 = false;
  /** The client waits for a 100 before it sends its body. */
  expectsContinue = false;
  /** When its route was known; milliseconds of the monotonic clock. */
  routedMs = 0;
  /** Where it goes; undefined until `judge` said `carry`, or got as far as that. */
  route: CompiledRoute | undefined;
  /** Protocols, lower case, that the upstream may change to by a 101. */
  protocols = NO_PROTOCOLS;
  /** It is a copy of a request, or made for one: no load. */
  mirrored = false;
  /** A copy of it was made. */
  copied = false;
  #hostRoutes: HostRoutes<CompiledRoute> | undefined;
  #peer: Peer;

  /** `id`: what the client's certificate proved, '' for nothing. */
  constructor(context: ListenerContext, isTls: boolean, id: string) {
    this.#context = context;
    this.#id = id;
    this.#shapes = new ShapeMemo(context, isTls);
    this.#peer = context.peers.unnamed;
  }

  /** Forgets the request before. */
  reset(): void {
    this.isHead = false;
    this.isHttp10 = false;
    this.expectsContinue = false;
    this.route = undefined;
    this.protocols = NO_PROTOCOLS;
    this.mirrored = false;
    this.copied = false;
    this.#hostRoutes = undefined;
    this.#peer = this.#context.peers.unnamed;
  }

  /** Notes what can be known of a head that could not be read to its end. */
  noteBroken(method: string): void {
    this.method = method;
    this.isHead = method === 'HEAD';
    this.isHttp10 = requestLine.isHttp10;
  }

  /**
   * Judges the head at b[s, …) that was just parsed; `head` is its latin1 text. The order of the
   * rules is the order of their statuses: what is malformed is never said to have no route.
   */
  judge(b: Buffer, head: string, s: number, record: HopRecord): Verdict {
    const context = this.#context;
    const { shared, router } = context;
    const startMs = monotonicMs();
    readAsked(b, head, s);
    this.method = asked.method;
    this.path = asked.path;
    this.isHead = asked.method === 'HEAD';
    this.isHttp10 = requestLine.isHttp10;

    const routes = asked.host === '' ? router.hostless : router.routesOf(asked.host);
    if (routes === undefined || hasDotSegment(asked.path)) return 'request_malformed';
    this.#hostRoutes = routes;
    this.#readPeer(b);
    if (isPresent(FIELD.azimuthMirrored)) this.mirrored = this.mayMark;
    // `*` asks about the server that is asked, so nobody else can answer.
    if (asked.path === '*') return 'answer_options';
    const fields = this.#fields.of(b, asked.startLine);
    const route =
      (context.hasCors && asked.method === 'OPTIONS'
        ? this.#preflightRoute(b, routes)
        : undefined) ?? router.match(routes, asked.path, asked.method, fields);
    this.routedMs = monotonicMs();
    record.phaseNs[ROUTE] = (this.routedMs - startMs) * 1e6;
    if (route === NO_ROUTE) return 'no_route';
    if (route === NO_METHOD) return 'method_not_allowed';
    this.route = route.share === undefined ? route : route.share.next();
    if (shared.pathMode !== 'template') {
      record.path = shared.pathMode === 'keep' ? asked.path : hashOfPath(asked.path);
    }
    if (parsed.bodyKind === BODY_LENGTH && parsed.bodyBytes > shared.limits.requestBodyBytes) {
      return 'request_body_too_large';
    }
    if (!this.isHttp10 && isPresent(FIELD.expect)) {
      if (isRepeated(FIELD.expect) || !valueIs(b, FIELD.expect, '100-continue')) {
        return 'expectation_failed';
      }
      this.expectsContinue = true;
    }
    return isCountedDown(asked.method) ? this.#judgeForwards(b) : 'carry';
  }

  /** Methods that routes take where this request asked; empty: those of HTTP. */
  allowedMethods(): readonly string[] {
    const routes = this.#hostRoutes;
    if (routes === undefined || this.path === '*') return [];
    return this.#context.router.methodsFor(routes, this.path);
  }

  /** What the hop of this request has in common with others; `filters`: what they found. */
  shape(filters?: { readonly performed: number; readonly consumer: string }): RecordedShape {
    const { route } = this;
    // Only a host that the route names: any other is the client's invention.
    const host = route === undefined || route.hosts.length === 0 ? '' : this.#hostRoutes!.host;
    return this.#shapes.of(
      route,
      this.#peer,
      this.method,
      this.isHttp10,
      host,
      (filters === undefined ? 0 : filters.performed) | (this.copied ? MIRROR_BIT : 0),
      filters === undefined ? '' : this.#context.consumerLabel(filters.consumer),
      this.mirrored,
    );
  }

  /** The same of a copy of it that takes `route`. */
  copyShape(
    route: CompiledRoute,
    isTls: boolean,
    filters?: { readonly performed: number; readonly consumer: string },
  ): RecordedShape {
    return this.#context.shape(
      route,
      this.#peer,
      this.method,
      this.isHttp10,
      route.hosts.length === 0 ? '' : this.#hostRoutes!.host,
      isTls,
      filters === undefined ? 0 : filters.performed,
      filters === undefined ? '' : this.#context.consumerLabel(filters.consumer),
      true,
    );
  }

  /** SPIFFE id of the caller, where it is beyond doubt; else ''. */
  get peerId(): string {
    return this.#peer.id;
  }

  /**
   * The caller may say that this request is a copy, or made for one: whoever nobody vouches for could
   * take its own load out of all figures.
   */
  get mayMark(): boolean {
    return !this.#context.isEdge && this.#peer.known !== 'unknown';
  }

  /** A preflight is about the route of the request that will follow it. */
  #preflightRoute(b: Buffer, routes: HostRoutes<CompiledRoute>): CompiledRoute | undefined {
    const method = valueOf(b, 'access-control-request-method');
    if (method === undefined || valueOf(b, 'origin') === undefined) return undefined;
    const route = this.#context.router.match(routes, asked.path, method);
    return typeof route === 'object' && route.filters?.hasCors === true ? route : undefined;
  }

  /** Max-Forwards of OPTIONS and TRACE (RFC 9110 7.6.2): at 0 the request ends here. */
  #judgeForwards(b: Buffer): Verdict {
    const isTrace = this.method === 'TRACE';
    // A TRACE would show a client outside what the mesh adds to its request.
    if (isTrace && this.#context.isEdge) return 'method_not_allowed';
    const left = maxForwards(b);
    if (Number.isNaN(left)) return 'request_malformed';
    if (left !== 0) return 'carry';
    return isTrace ? 'method_not_allowed' : 'answer_options';
  }

  #readPeer(b: Buffer): void {
    const { peers } = this.#context;
    if (this.#id !== '') {
      // Proved: what a header says besides is nobody's word.
      this.#peer = peers.certified(this.#id);
      return;
    }
    if (!peers.believes || !isPresent(FIELD.azimuthPeer) || isRepeated(FIELD.azimuthPeer)) return;
    this.#peer = peers.named(
      b.toString('latin1', valueStart(FIELD.azimuthPeer), valueEnd(FIELD.azimuthPeer)),
    );
  }
}
