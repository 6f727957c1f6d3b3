/**
 * The text that `azimuth decode` prints: spans, log records and packed hops, a fact a line.
 */
import { PEER_KNOWN, PEER_ROLES } from '../telemetry/edge-class.ts';
import {
  ANSWERED_BY,
  ATTEMPT_BITS,
  attemptEnd,
  FUNCTIONS,
  HOP_MARKS,
  RESPONSE_FLAGS,
  STREAM_CLASSES,
} from '../telemetry/hop-record.ts';
import { bitNames } from '../telemetry/attribute-spans.ts';
import { ATTR } from '../telemetry/names.ts';
import type { Attributes, AttributeValue, Logs, Span, Traces } from '../telemetry/otlp-objects.ts';
import { decodeHop, type PackedHop } from '../telemetry/packed-hop.ts';
import { OtlpError } from '../telemetry/protobuf.ts';

const KINDS = ['UNSPECIFIED', 'INTERNAL', 'SERVER', 'CLIENT', 'PRODUCER', 'CONSUMER'];
const STATUSES = ['', 'ok', 'error'];

/** A span tree as text. */
export function traceLines(traces: Traces): string[] {
  const lines: string[] = [];
  let spans = 0;
  for (const { resource, scopeSpans } of traces.resourceSpans) {
    lines.push('resource', ...attributeLines(resource.attributes, '  '));
    for (const scope of scopeSpans) {
      lines.push(`  scope ${named(scope.scope.name)} ${scope.scope.version}`.trimEnd());
      for (const span of scope.spans) lines.push(...spanLines(span));
      spans += scope.spans.length;
    }
  }
  lines.push(`${spans} ${spans === 1 ? 'span' : 'spans'}`);
  return lines;
}

/** Log records as text; a ledger shows its figures. */
export function logLines(logs: Logs): string[] {
  const lines: string[] = [];
  let records = 0;
  for (const { resource, scopeLogs } of logs.resourceLogs) {
    lines.push('resource', ...attributeLines(resource.attributes, '  '));
    for (const log of scopeLogs.flatMap((scope) => scope.logRecords)) {
      const unixNs = log.timeUnixNano === 0n ? log.observedTimeUnixNano : log.timeUnixNano;
      lines.push(`    log ${named(log.eventName)}  ${time(unixNs)}`);
      lines.push(...attributeLines(log.attributes, '      '));
      records++;
    }
  }
  lines.push(`${records} log ${records === 1 ? 'record' : 'records'}`);
  return lines;
}

function spanLines(span: Span): string[] {
  const { startTimeUnixNano: start, endTimeUnixNano: end, status } = span;
  const lines = [
    `    ${KINDS[span.kind] ?? ''} ${named(span.name)}  ${milliseconds(Number(end - start))}  ${time(start)}`,
    `      trace ${span.traceId}  span ${span.spanId}  parent ${span.parentSpanId || 'none'}  flags 0x${span.flags.toString(16)}`,
  ];
  if (status.code > 0) lines.push(`      status ${STATUSES[status.code] ?? ''} ${status.message}`);
  if (span.traceState !== '') lines.push(`      tracestate ${printable(span.traceState)}`);
  const rest = new Map(span.attributes);
  const hop = rest.get(ATTR.hop);
  if (hop instanceof Uint8Array) rest.delete(ATTR.hop);
  lines.push(...attributeLines(rest, '      '));
  for (const event of span.events) {
    lines.push(`      event ${named(event.name)}  ${time(event.timeUnixNano)}`);
    lines.push(...attributeLines(event.attributes, '        '));
  }
  for (const link of span.links) {
    lines.push(`      link trace ${link.traceId}  span ${link.spanId}`);
    lines.push(...attributeLines(link.attributes, '        '));
  }
  if (hop instanceof Uint8Array) {
    lines.push(`      ${ATTR.hop} (${hop.length} bytes)`);
    lines.push(...embeddedHopLines(hop).map((line) => `        ${line}`));
  }
  return lines;
}

/** A hop that cannot be unpacked must not hide the rest of the span. */
function embeddedHopLines(hop: Uint8Array): string[] {
  try {
    return hopLines(decodeHop(hop));
  } catch (error) {
    if (!(error instanceof OtlpError)) throw error;
    return [`cannot be unpacked: ${error.message}`];
  }
}

/** A packed hop as text: one fact a line, names as in docs/HOP-FORMAT.md. */
export function hopLines(hop: PackedHop): string[] {
  const at = (offsetNs: number): string => (offsetNs < 0 ? 'not reached' : milliseconds(offsetNs));
  const rows: [string, string][] = [
    ['version', String(hop.version)],
    ['seq', String(hop.seq)],
    ['t_req_last', at(hop.requestLastNs)],
    ['t_up_first', at(hop.upstreamFirstNs)],
    ['t_up_last', at(hop.upstreamLastNs)],
    ['t_res_first', at(hop.responseFirstNs)],
    ['t_res_last', at(hop.responseLastNs)],
    ['t_down_first', at(hop.downstreamFirstNs)],
    ['wait', milliseconds(hop.waitNs)],
    ['wait_attempts', milliseconds(hop.waitAttemptsNs)],
    ['backoff', milliseconds(hop.backoffNs)],
    ['pool', milliseconds(hop.poolNs)],
    ['connect', milliseconds(hop.connectNs)],
    ['loop', milliseconds(hop.loopNs)],
    ['bytes_in', String(hop.bytesIn)],
    ['bytes_out', String(hop.bytesOut)],
    ['flags', bitNames(hop.flags, RESPONSE_FLAGS).join(',') || 'none'],
    ['answered_by', ANSWERED_BY[hop.answeredBy] || 'unknown'],
    ['stream_class', STREAM_CLASSES[hop.streamClass] || 'none'],
    ['peer_known', PEER_KNOWN[hop.peerKnown] ?? 'unknown'],
    ['peer_role', PEER_ROLES[hop.peerRole] || 'unknown'],
    ['config_generation', String(hop.configGeneration)],
    ['deadline', hop.deadlineMsPlusOne === 0 ? 'none' : `${hop.deadlineMsPlusOne - 1} ms`],
    ['functions', bitNames(hop.functions, FUNCTIONS).join(',') || 'none'],
  ];
  hop.phaseIds.forEach((id, i) => {
    rows.push([`phase ${FUNCTIONS[id] ?? id}`, milliseconds(hop.phaseNs[i] ?? 0)]);
  });
  hop.attempts.forEach((attempt, i) => {
    const bits = Object.entries(ATTEMPT_BITS)
      .filter(([, bit]) => (attempt.bits & bit) !== 0)
      .map(([name]) => name);
    const status = attempt.status === 0 ? 'no status' : `status ${attempt.status}`;
    const times = `from ${milliseconds(attempt.startNs)} for ${milliseconds(attempt.durationNs)}, waited ${milliseconds(attempt.waitNs)}`;
    const end = attemptEnd(attempt.bits);
    rows.push([
      `attempt ${i + 1}`,
      `${times}, ${status}, ${bits.join(',') || 'no bits'}${end === '' ? '' : `, ended by ${end}`}`,
    ]);
  });
  const marks = Object.entries(HOP_MARKS)
    .filter(([, bit]) => (hop.marks & bit) !== 0)
    .map(([name]) => name);
  if (marks.length > 0) rows.push(['marks', marks.join(',')]);
  return rows.map(([name, value]) => `${name.padEnd(18)} ${value}`);
}

function attributeLines(attributes: Attributes, indent: string): string[] {
  return [...attributes].map(([key, value]) => `${indent}${printable(key)} = ${valueText(value)}`);
}

function valueText(value: AttributeValue): string {
  if (value === null) return '(no value)';
  if (typeof value === 'string') return printable(value);
  if (value instanceof Uint8Array) return `0x${Buffer.from(value).toString('hex')}`;
  if (Array.isArray(value)) return `[${value.map(valueText).join(', ')}]`;
  if (value instanceof Map) {
    return `{${[...value].map(([k, v]) => `${printable(k)}: ${valueText(v)}`).join(', ')}}`;
  }
  return String(value);
}

/** Control characters shown as escapes: the bytes are foreign and a terminal obeys them. */
function printable(text: string): string {
  return text.replaceAll(/[\p{Cc}\p{Cf}]/gu, (c) => {
    return `\\u${(c.codePointAt(0) ?? 0).toString(16).padStart(4, '0')}`;
  });
}

const named = (text: string): string => (text === '' ? '(no name)' : printable(text));

/** Nanoseconds as milliseconds, exactly. */
function milliseconds(durationNs: number): string {
  const text = (durationNs / 1e6).toFixed(6).replace(/\.?0+$/, '');
  return `${text} ms`;
}

function time(unixNs: bigint): string {
  const ms = Number(unixNs / 1_000_000n);
  // Past what a Date holds (the year 275760) the number itself says more.
  if (ms > 8.64e15) return `${unixNs} ns`;
  const rest = String(unixNs % 1_000_000n).padStart(6, '0');
  return new Date(ms).toISOString().replace('Z', `${rest}Z`);
}

/** One line of JSON: maps as objects, integers past 2^53 as strings, bytes as hex. */
export function toJson(value: unknown): string {
  return JSON.stringify(value, (_key, part: unknown) => {
    if (typeof part === 'bigint') {
      const number = Number(part);
      return Number.isSafeInteger(number) ? number : String(part);
    }
    if (part instanceof Map) return Object.fromEntries(part as Map<string, unknown>);
    if (part instanceof Uint8Array) return Buffer.from(part).toString('hex');
    return part;
  });
}
