/**
 * What the request becomes on its way upstream: start line, host and trace read from the parsed head,
 * and the new head written. Pure over the codec's module state; must run before the next head is
 * parsed.
 */
import {
  BODY_LENGTH,
  BODY_NONE,
  isPresent,
  isRepeated,
  joinedValue,
  keptLines,
  parsed,
  valueEnd,
  valueStart,
} from './codec/fields.ts';
import { requestLine } from './codec/request-head.ts';
import { FIELD, STRIP } from './codec/tables.ts';
import type { HopRecord } from '../telemetry/hop-record.ts';
import type { CompiledRoute, ListenerContext } from './listener-context.ts';
import { hexOfFlags, hexOfWord, incoming, parseTraceparent } from './trace-context.ts';

/** Stands for an empty Host, which is no authority and is refused as one. */
const EMPTY_HOST = '?';

/** The head just written: text, and where in it the parent id of 16 digits stands. */
export const upstreamHead = { text: '', parentAt: 0 };

/** What was read from the start line. */
export const asked = {
  method: '',
  /** Without query; always begins with `/`, but for `*`. */
  path: '',
  /** `METHOD target`, in origin form. */
  startLine: '',
  /** The authority asked for: that of an absolute target, else Host; '' when there is none. */
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
  // `http://host?x` has an empty path, which is `/` (RFC 9112 3.2.1).
  const pathStart = targetStart + authorityBytes;
  const slash = b[pathStart] === 47 ? '' : '/';
  asked.path = slash + head.slice(pathStart - s, queryStart - s);
  asked.startLine = `${asked.method} ${slash}${head.slice(pathStart - s, targetEnd - s)}`;
  // The authority of the target counts, and replaces Host (RFC 9112 3.2.2).
  asked.host = head.slice(targetStart + 'http://'.length - s, pathStart - s);
}

/**
 * Continues the caller's trace in `record`, or keeps it as a link at the edge. True when the trace
 * is a new one.
 */
export function readTrace(b: Buffer, isEdge: boolean, record: HopRecord): boolean {
  if (!isPresent(FIELD.traceparent) || isRepeated(FIELD.traceparent)) return true;
  const start = valueStart(FIELD.traceparent);
  if (!parseTraceparent(b, start, valueEnd(FIELD.traceparent))) return true;
  if (isEdge) {
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

/** Writes the head for the first attempt into `upstreamHead`. */
export function writeUpstreamHead(
  b: Buffer,
  head: string,
  s: number,
  context: ListenerContext,
  route: CompiledRoute,
  record: HopRecord,
  restarted: boolean,
  forwardedLines: string,
): void {
  const ownHost = requestLine.authorityBytes > 0 || !isPresent(FIELD.host);
  let strip = context.stripRequest;
  if (restarted) strip |= STRIP.traceRestart;
  if (requestLine.isHttp10) strip |= STRIP.http10;
  if (ownHost) strip |= STRIP.authority;
  let out = asked.startLine + ' HTTP/1.1\r\n' + keptLines(b, head, s, strip);
  // A request of HTTP/1.0 without any host: the upstream speaks 1.1 and must get one.
  if (ownHost) out += `host: ${asked.host === '' ? route.cluster.name : asked.host}\r\n`;
  const { traceId, spanId, traceFlags } = record;
  const trace =
    hexOfWord(traceId[0]!) +
    hexOfWord(traceId[1]!) +
    hexOfWord(traceId[2]!) +
    hexOfWord(traceId[3]!);
  out += 'traceparent: 00-' + trace + '-';
  upstreamHead.parentAt = out.length;
  out += attemptSpanId(spanId, 1) + '-' + hexOfFlags(traceFlags) + '\r\n' + route.peerLine;
  if (context.isEdge) {
    out += forwardedLines;
    if (asked.host !== '') out += 'x-forwarded-host: ' + asked.host + '\r\n';
    out += 'x-request-id: ' + trace + '\r\n';
  }
  if (parsed.bodyKind === BODY_NONE) out += '\r\n';
  else if (parsed.bodyKind === BODY_LENGTH) out += `content-length: ${parsed.bodyBytes}\r\n\r\n`;
  else out += 'transfer-encoding: chunked\r\n\r\n';
  upstreamHead.text = out;
}

/** Span id of attempt n, hexadecimal: the hop's XOR n. */
export const attemptSpanId = (spanId: Uint32Array, attempt: number): string =>
  hexOfWord(spanId[0]!) + hexOfWord((spanId[1]! ^ attempt) >>> 0);
