/**
 * What the request becomes on its way upstream: start line, host and trace read from the parsed head,
 * and the new head written. Pure over the codec's module state; must run before the next head is
 * parsed.
 */
import {
  BODY_CHUNKED,
  BODY_LENGTH,
  BODY_NONE,
  isNominated,
  isPresent,
  isRepeated,
  joinedValue,
  keptLines,
  listOf,
  parsed,
  valueEnd,
  valueStart,
} from './codec/fields.ts';
import { requestLine } from './codec/request-head.ts';
import { FIELD, STRIP } from './codec/tables.ts';
import { announcedTrailers, trailerLine } from './codec/trailers.ts';
import type { HopRecord } from '../telemetry/hop-record.ts';
import { DEADLINE_HEADER } from '../telemetry/names.ts';
import type { Downstream } from './downstream-port.ts';
import { forwarded, plainAddress, standardLine, trustedLines } from './forwarded.ts';
import type { CompiledRoute, ListenerContext } from './listener-context.ts';
import { hostOf } from './router.ts';
import {
  incoming,
  isMirroredTrace,
  PARENT_AT,
  parseTraceparent,
  TRACE_AT,
  traceparentOf,
} from './trace-context.ts';

const TRACEPARENT = 'traceparent: ';
const NO_PROTOCOLS: readonly string[] = [];
/** Stands for an empty Host, which is no authority and is refused as one. */
const EMPTY_HOST = '?';

/** The head just written. */
export const upstreamHead = {
  text: '',
  /** Where in it the parent id of 16 digits stands. */
  parentAt: 0,
  /** Where the milliseconds that are left begin and end; both 0 where they are not told. */
  leftAt: 0,
  leftEnd: 0,
  /** Trailer fields of the body that may pass. */
  trailers: undefined as ReadonlySet<string> | undefined,
  /** Protocols, lower case, of which the upstream may choose one by a 101; none: it may not. */
  protocols: NO_PROTOCOLS,
};

/** What was read from the start line. */
export const asked = {
  method: '',
  /** Without query; always begins with `/`, but for `*`. */
  path: '',
  /** `METHOD target`, in origin form. */
  startLine: '',
  /**
   * The authority asked for: that of an absolute target, else Host; '' when there is none. One that
   * is no authority stands here too when it is the Host beside an absolute target: it is refused.
   */
  host: '',
};

/** Reads method, path and host of the head at b[s, …), whose latin1 text is `head`. */
export function readAsked(b: Buffer, head: string, s: number): void {
  const { methodEnd, targetStart, targetEnd, queryStart, authorityBytes } = requestLine;
  asked.method = head.slice(0, methodEnd - s);
  if (authorityBytes === 0) {
    asked.path = head.slice(targetStart - s, queryStart - s);
    asked.startLine = head.slice(0, targetEnd - s);
    asked.host = isPresent(FIELD.host)
      ? head.slice(valueStart(FIELD.host) - s, valueEnd(FIELD.host) - s) || EMPTY_HOST
      : '';
    return;
  }
  // `http://host?x` has an empty path, which is `/` (RFC 9112 3.2.1); with OPTIONS and nothing at
  // all behind the host it is `*` (3.2.4).
  const pathStart = targetStart + authorityBytes;
  if (pathStart === targetEnd && asked.method === 'OPTIONS') {
    asked.path = '*';
    asked.startLine = 'OPTIONS *';
    asked.host = targetAuthority(head, s, pathStart);
    return;
  }
  const slash = b[pathStart] === 47 ? '' : '/';
  asked.path = slash + head.slice(pathStart - s, queryStart - s);
  asked.startLine = `${asked.method} ${slash}${head.slice(pathStart - s, targetEnd - s)}`;
  asked.host = targetAuthority(head, s, pathStart);
}

/** The authority of the target counts, and replaces Host (RFC 9112 3.2.2), which must be valid. */
function targetAuthority(head: string, s: number, pathStart: number): string {
  if (isPresent(FIELD.host)) {
    const host = head.slice(valueStart(FIELD.host) - s, valueEnd(FIELD.host) - s);
    if (hostOf(host) === undefined) return host || EMPTY_HOST;
  }
  return head.slice(requestLine.targetStart + 'http://'.length - s, pathStart - s);
}

/**
 * Continues the caller's trace in `record`, or keeps it as a link at the edge. True when the trace
 * is a new one. `mayMark`: the caller may say that its request is a copy, as some trace ids do.
 */
export function readTrace(
  b: Buffer,
  isEdge: boolean,
  mayMark: boolean,
  record: HopRecord,
): boolean {
  if (!isPresent(FIELD.traceparent) || isRepeated(FIELD.traceparent)) return true;
  const start = valueStart(FIELD.traceparent);
  if (!parseTraceparent(b, start, valueEnd(FIELD.traceparent))) return true;
  if (isEdge || (!mayMark && isMirroredTrace(incoming.traceId))) {
    // Whoever could continue a trace from outside could make all requests one trace.
    record.linkTraceparent = b.toString('latin1', start, start + 55);
    return true;
  }
  record.traceId.set(incoming.traceId);
  record.parentId.set(incoming.parentId);
  record.traceFlags = incoming.flags;
  if (isPresent(FIELD.tracestate)) record.traceState = joinedValue(b, FIELD.tracestate);
  return false;
}

/** Milliseconds that the caller will still wait, as it says; -1 when it says nothing that is one. */
export function askedLeftMs(b: Buffer): number {
  if (!isPresent(FIELD.azimuthDeadline) || isRepeated(FIELD.azimuthDeadline)) return -1;
  const start = valueStart(FIELD.azimuthDeadline);
  const end = valueEnd(FIELD.azimuthDeadline);
  // Nine digits are eleven days.
  if (end === start || end - start > 9) return -1;
  let left = 0;
  for (let i = start; i < end; i++) {
    const digit = b[i]! - 48;
    if (digit < 0 || digit > 9) return -1;
    left = left * 10 + digit;
  }
  return left;
}

/** What the filters of a route change of a head. */
export interface HeadChanges {
  /** '' leaves the path as it is; undefined leaves the query, which has its `?`. */
  readonly path: string;
  readonly query: string | undefined;
  /** Names in lower case. */
  readonly takenOut: ReadonlySet<string> | undefined;
  readonly lines: string;
}

/** Start line with the path and query that filters wrote. */
function changedStartLine({ path, query }: HeadChanges): string {
  const queryAt = asked.startLine.indexOf('?');
  const had = queryAt < 0 ? '' : asked.startLine.slice(queryAt);
  return `${asked.method} ${path || asked.path}${query ?? had}`;
}

/**
 * Writes the head for the first attempt into `upstreamHead`. `leftMs`: what it may take, told to
 * workloads; -1 where nothing limits it. `markLines`: that it is a copy of a request, or made for
 * one; '' for any other.
 */
export function writeUpstreamHead(
  b: Buffer,
  head: string,
  s: number,
  context: ListenerContext,
  route: CompiledRoute,
  record: HopRecord,
  restarted: boolean,
  down: Pick<Downstream, 'address' | 'isTls' | 'forwardedLines'>,
  leftMs: number,
  changes: HeadChanges | undefined,
  markLines: string,
): void {
  const ownHost = requestLine.authorityBytes > 0 || !isPresent(FIELD.host);
  let strip = context.stripRequest;
  if (restarted) strip |= STRIP.traceRestart;
  if (requestLine.isHttp10) strip |= STRIP.http10;
  if (ownHost) strip |= STRIP.authority;
  let special = '';
  upstreamHead.trailers = undefined;
  upstreamHead.protocols = NO_PROTOCOLS;
  if (hasSpecial()) {
    special = specialLines(b, context, route);
    if (isPresent(FIELD.maxForwards) && isCountedDown(asked.method)) strip |= STRIP.maxForwards;
  }
  if (changes !== undefined && (changes.path !== '' || changes.query !== undefined)) {
    asked.startLine = changedStartLine(changes);
  }
  let out = asked.startLine + ' HTTP/1.1\r\n' + keptLines(b, head, s, strip, changes?.takenOut);
  if (changes !== undefined) out += changes.lines;
  // A request of HTTP/1.0 without any host: the upstream speaks 1.1 and must get one.
  if (ownHost) out += `host: ${asked.host === '' ? route.cluster.name : asked.host}\r\n`;
  const { traceId, spanId, traceFlags } = record;
  const traceparent = traceparentOf(traceId, spanId, 1, traceFlags);
  upstreamHead.parentAt = out.length + TRACEPARENT.length + PARENT_AT;
  out += TRACEPARENT + traceparent + '\r\n' + route.peerLine;
  out += markLines;
  upstreamHead.leftAt = 0;
  upstreamHead.leftEnd = 0;
  if (leftMs >= 0 && route.cluster.role !== 'external') {
    out += DEADLINE_HEADER + ': ';
    upstreamHead.leftAt = out.length;
    out += String(leftMs);
    upstreamHead.leftEnd = out.length;
    out += '\r\n';
  }
  if (context.isEdge) {
    if (context.trustedHops > 0) out += trustedLines();
    else {
      out += down.forwardedLines;
      if (asked.host !== '') out += 'x-forwarded-host: ' + asked.host + '\r\n';
    }
    if (isPresent(FIELD.forwarded)) out += forwardedLine(context, down);
    out += 'x-request-id: ' + traceparent.slice(TRACE_AT, TRACE_AT + 32) + '\r\n';
  }
  out += special;
  if (parsed.bodyKind === BODY_NONE) out += '\r\n';
  else if (parsed.bodyKind === BODY_LENGTH) out += `content-length: ${parsed.bodyBytes}\r\n\r\n`;
  else out += 'transfer-encoding: chunked\r\n\r\n';
  upstreamHead.text = out;
}

function forwardedLine(
  { trustedHops }: ListenerContext,
  { address, isTls }: Pick<Downstream, 'address' | 'isTls'>,
): string {
  const { chain, proto, host } = forwarded;
  if (trustedHops > 0) return standardLine(chain, proto, host);
  return standardLine([plainAddress(address)], isTls ? 'https' : 'http', asked.host);
}

/** Methods whose Max-Forwards a proxy counts down (RFC 9110 7.6.2). */
export const isCountedDown = (method: string): boolean =>
  method === 'OPTIONS' || method === 'TRACE';

/** Max-Forwards of the head just parsed: -1 when it has none, NaN when it is no number. */
export function maxForwards(b: Buffer): number {
  if (!isPresent(FIELD.maxForwards)) return -1;
  const value = joinedValue(b, FIELD.maxForwards);
  return /^[0-9]{1,9}$/.test(value) ? Number(value) : NaN;
}

function hasSpecial(): boolean {
  const { at } = parsed;
  return (at[FIELD.te]! | at[FIELD.upgrade]! | at[FIELD.trailer]! | at[FIELD.maxForwards]!) !== 0;
}

/**
 * Lines about this connection and the next, which we set anew after the client's were stripped: that
 * it takes trailers, which protocols it would change to, which trailers will come. TE and Upgrade
 * are believed only where Connection nominates them, as RFC 9110 asks of their senders.
 */
function specialLines(b: Buffer, context: ListenerContext, route: CompiledRoute): string {
  let lines = '';
  let options = '';
  if (isPresent(FIELD.te) && isNominated('te') && listOf(b, FIELD.te).includes('trailers')) {
    lines += 'te: trailers\r\n';
    options = 'te';
  }
  if (isPresent(FIELD.upgrade) && isNominated('upgrade') && route.upgrades.length > 0) {
    // With a body behind it, both sides would have to agree where the new protocol begins.
    if (parsed.bodyKind === BODY_NONE && !requestLine.isHttp10) {
      const protocols = listOf(b, FIELD.upgrade).filter((p) => route.upgrades.includes(p));
      if (protocols.length > 0) {
        upstreamHead.protocols = protocols;
        lines += `upgrade: ${protocols.join(', ')}\r\n`;
        options += options === '' ? 'upgrade' : ', upgrade';
      }
    }
  }
  if (options !== '') lines += `connection: ${options}\r\n`;
  if (parsed.bodyKind === BODY_CHUNKED) {
    upstreamHead.trailers = announcedTrailers(b, context.isEdge);
    lines += trailerLine(upstreamHead.trailers);
  }
  if (isCountedDown(asked.method)) {
    const left = maxForwards(b);
    if (left > 0) lines += `max-forwards: ${left - 1}\r\n`;
  }
  return lines;
}
