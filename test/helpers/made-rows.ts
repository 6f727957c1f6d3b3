/**
 * Brings made spans (trace-maker.ts) to where spans are read: as the block that the attribution
 * takes, or as rows of the store.
 */
import { EDGE_CLASSES, PROXY_ROLES, PROXY_SIDES } from '../../telemetry/edge-class.ts';
import { FUNCTIONS } from '../../telemetry/hop-record.ts';
import type { StoreClient } from '../../store/client.ts';
import type { NativeBlock, NativeColumn } from '../../store/native/reader.ts';
import type { MadeAttempt, MadeSpan } from './trace-maker.ts';

/** The spans as a block of attribution_rows.sql, in their order. */
export function blockOf(spans: readonly MadeSpan[]): NativeBlock {
  const texts = (of: (span: MadeSpan) => string): NativeColumn => {
    const words = [...new Set(spans.map(of))];
    return {
      ...plain(new ArrayBuffer(0)),
      texts: words,
      keys: Uint16Array.from(spans, (span) => words.indexOf(of(span))),
    };
  };
  const u8 = (of: (span: MadeSpan) => number): NativeColumn =>
    plain(Uint8Array.from(spans, of).buffer);
  const u64 = (of: (span: MadeSpan) => number | bigint): NativeColumn =>
    plain(BigUint64Array.from(spans, (span) => BigInt(of(span))).buffer);
  const lists = <T>(
    of: (span: MadeSpan) => readonly T[],
    values: (list: readonly T[]) => ArrayBufferLike,
  ): NativeColumn => {
    let end = 0;
    return {
      ...plain(values(spans.flatMap(of))),
      ends: new Uint32Array(
        BigUint64Array.from(spans, (span) => BigInt((end += of(span).length))).buffer,
      ),
    };
  };
  const many = (span: MadeSpan): readonly MadeAttempt[] =>
    span.attempts.length > 1 ? span.attempts : [];
  const only = (span: MadeSpan): MadeAttempt =>
    span.attempts[0] ?? { startNs: 0, ns: 0, waitNs: 0, status: 0, bits: 0 };
  const words = (numbers: readonly number[]): ArrayBufferLike =>
    BigUint64Array.from(numbers, BigInt).buffer;
  const traces = Buffer.concat(spans.map((span) => Buffer.from(span.traceId, 'hex')));
  return {
    rows: spans.length,
    columns: [
      plain(Uint8Array.from(traces).buffer),
      u64((s) => s.spanId),
      u64((s) => s.parentId),
      u64((s) => s.startNs),
      u8((s) => (s.role === '' ? 0 : 1)),
      u64((s) => s.durationNs),
      u8((s) => PROXY_ROLES.indexOf(s.role)),
      u8((s) => PROXY_SIDES.indexOf(s.side)),
      u8((s) => EDGE_CLASSES.indexOf(s.edgeClass)),
      u8(() => 0),
      plain(Uint16Array.from(spans, () => 200).buffer),
      plain(Uint32Array.from(spans, () => 1).buffer),
      texts((s) => s.service),
      texts((s) => s.clock),
      texts(() => 'shop'),
      texts(() => 'separate'),
      texts((s) => s.route),
      texts(() => 'GET'),
      u64((s) => s.ownNs),
      u64((s) => s.waitNs),
      u64((s) => s.backoffNs),
      u8((s) => s.attempts.length),
      u64((s) => only(s).startNs),
      u64((s) => only(s).ns),
      u64((s) => only(s).waitNs),
      u8((s) => only(s).bits),
      lists(many, (list) => words(list.map((a) => a.startNs))),
      lists(many, (list) => words(list.map((a) => a.ns))),
      lists(many, (list) => words(list.map((a) => a.waitNs))),
      lists(many, (list) => Uint8Array.from(list, (a) => a.bits).buffer),
      lists(
        (s) => s.phases,
        (list) => Uint8Array.from(list, ([name]) => FUNCTIONS.indexOf(name)).buffer,
      ),
      lists(
        (s) => s.phases,
        (list) => words(list.map(([, ns]) => ns)),
      ),
    ],
  };
}

function plain(values: ArrayBufferLike): NativeColumn {
  const buffer = values as ArrayBuffer;
  return {
    type: '',
    bytes: new Uint8Array(buffer),
    halves: new Uint16Array(buffer, 0, buffer.byteLength >> 1),
    words: new Uint32Array(buffer, 0, buffer.byteLength >> 2),
    texts: [],
    keys: new Uint8Array(0),
    ends: new Uint32Array(0),
  };
}

/** Stores the spans; `baseMs` is the instant that their starts count from, `ingestedS` Unix seconds. */
export async function insertSpans(
  store: StoreClient,
  spans: readonly MadeSpan[],
  baseMs: number,
  ingestedS: number,
): Promise<void> {
  const hex = (id: bigint): string => (id === 0n ? '' : id.toString(16).padStart(16, '0'));
  const rows = spans.map((span) => {
    const many = span.attempts.length > 1 ? span.attempts : [];
    const [only] = span.attempts.length === 1 ? span.attempts : [];
    const ns = BigInt(baseMs) * 1_000_000n + BigInt(span.startNs);
    return {
      Timestamp: `${ns / 1_000_000_000n}.${(ns % 1_000_000_000n).toString().padStart(9, '0')}`,
      TraceId: span.traceId,
      SpanId: hex(span.spanId),
      ParentSpanId: hex(span.parentId),
      HopVersion: span.role === '' ? 0 : 1,
      Role: span.role,
      Side: span.side,
      EdgeClass: span.edgeClass,
      ServiceName: span.service,
      ClockId: span.clock,
      Mesh: 'shop',
      Topology: 'separate',
      Route: span.route,
      Method: 'GET',
      HttpStatus: 200,
      Duration: span.durationNs,
      OwnNs: span.ownNs,
      WaitNs: span.waitNs,
      BackoffNs: span.backoffNs,
      UpstreamNs: span.attempts.reduce((sum, a) => sum + a.ns - a.waitNs, 0),
      WaitAttemptsNs: span.attempts.reduce((sum, a) => sum + a.waitNs, 0),
      TResLast: only === undefined ? -1 : span.durationNs - only.startNs - only.ns,
      Attempts: span.attempts.length,
      AttemptBits: span.attempts.at(-1)?.bits ?? 0,
      'AttemptList.StartNs': many.map((a) => a.startNs),
      'AttemptList.Ns': many.map((a) => a.ns),
      'AttemptList.WaitNs': many.map((a) => a.waitNs),
      'AttemptList.Status': many.map((a) => a.status),
      'AttemptList.Bits': many.map((a) => a.bits),
      'Phases.Function': span.phases.map(([name]) => FUNCTIONS.indexOf(name)),
      'Phases.Ns': span.phases.map(([, phaseNs]) => phaseNs),
      IngestedAt: ingestedS,
    };
  });
  const columns = Object.keys(rows[0] ?? {}).map((name) => `\`${name}\``);
  for (let i = 0; i < rows.length; i += 2000) {
    await store.command(
      `INSERT INTO spans (${columns.join(', ')}) SETTINGS insert_deduplicate = 0 FORMAT JSONEachRow\n` +
        rows
          .slice(i, i + 2000)
          .map((row) => JSON.stringify(row))
          .join('\n'),
    );
  }
}
