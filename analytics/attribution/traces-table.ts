/**
 * Table `attribution_traces` as column buffers, in the order of store/schema/020_attribution_traces.sql
 * (a test compares): what the attribution job writes.
 */
import { EDGE_CLASSES } from '../../telemetry/edge-class.ts';
import { STREAM_CLASSES } from '../../telemetry/hop-record.ts';
import { sourceOf } from '../../store/native/column.ts';
import {
  EnumColumn,
  IdColumn,
  NumberColumn,
  Uint64Column,
} from '../../store/native/fixed-columns.ts';
import { ArrayColumn } from '../../store/native/nested-columns.ts';
import { Table } from '../../store/native/table.ts';
import { DictionaryColumn } from '../../store/native/text-columns.ts';
import { minuteOf } from '../window.ts';
import type { ClosedTrace } from './open-traces.ts';
import { SEGMENT_KINDS } from './segments.ts';

const word = (name: string): DictionaryColumn => new DictionaryColumn(name);
const int64 = (name: string): Uint64Column => new Uint64Column(name, 'Int64');

const TOTALS = [
  'GatewayNs',
  'MeshNs',
  'BackoffNs',
  'WireNs',
  'ApplicationNs',
  'UpstreamNs',
  'ParallelSurplusNs',
  'ClientWaitNs',
  'ResidualNs',
];

function traceColumns() {
  return {
    minute: new NumberColumn('Minute', 'DateTime'),
    build: new Uint64Column('Build', 'UInt64'),
    traceId: new IdColumn('TraceId', 16),
    timestamp: new Uint64Column('Timestamp', 'DateTime64(9)'),
    mesh: word('Mesh'),
    topology: word('Topology'),
    generation: new NumberColumn('ConfigGeneration', 'UInt32'),
    edgeClass: new EnumColumn('EdgeClass', EDGE_CLASSES),
    service: word('ServiceName'),
    route: word('Route'),
    method: word('Method'),
    status: new NumberColumn('HttpStatus', 'UInt16'),
    streamClass: new EnumColumn('StreamClass', STREAM_CLASSES),
    incomplete: new NumberColumn('Incomplete', 'UInt16'),
    hops: new NumberColumn('Hops', 'UInt16'),
    roots: new NumberColumn('Roots', 'UInt16'),
    byInterval: new NumberColumn('ByInterval', 'UInt16'),
    duration: new Uint64Column('DurationNs', 'UInt64'),
  };
}

export class TracesTable extends Table {
  readonly #column: ReturnType<typeof traceColumns>;
  readonly #totals: readonly Uint64Column[];
  readonly #kinds: ArrayColumn<EnumColumn>;
  readonly #places: ArrayColumn<DictionaryColumn>;
  readonly #details: ArrayColumn<DictionaryColumn>;
  readonly #ns: ArrayColumn<Uint64Column>;
  /** Entry of each dictionary by number of the NameTable, for the block being filled. */
  readonly #entries = new Map<DictionaryColumn, number[]>();

  constructor() {
    const column = traceColumns();
    const totals = TOTALS.map(int64);
    const kinds = new ArrayColumn('Segments.Kind', new EnumColumn('', SEGMENT_KINDS));
    const places = new ArrayColumn('Segments.Place', word(''));
    const details = new ArrayColumn('Segments.Detail', word(''));
    const ns = new ArrayColumn('Segments.Ns', int64(''));
    super('attribution_traces', [...Object.values(column), ...totals, kinds, places, details, ns]);
    this.#column = column;
    this.#totals = totals;
    this.#kinds = kinds;
    this.#places = places;
    this.#details = details;
    this.#ns = ns;
  }

  /** `buildOf` gives the build under which a minute (Unix milliseconds) is being written. */
  add(trace: ClosedTrace, buildOf: (minuteMs: number) => bigint): void {
    const { split, segments, columns, names, baseMs } = trace;
    const { data } = columns;
    const from = split.root;
    const row = this.openRow();
    const column = this.#column;
    const minuteMs = minuteOfTrace(trace);
    const build = buildOf(minuteMs);
    column.minute.set(row, minuteMs / 1000);
    column.build.setWords(row, Number(build & 0xffffffffn), Number(build >> 32n));
    column.traceId.set(row, sourceOf(Buffer.from(trace.traceKey, 'latin1')), 0, 16);
    setNanoseconds(column.timestamp, row, baseMs, data.start[from]!);
    const put = (to: DictionaryColumn, at: number, name: number): void => {
      to.set(at, this.#entry(to, name, names.texts));
    };
    put(column.mesh, row, data.mesh[from]!);
    put(column.topology, row, data.topology[from]!);
    put(column.service, row, data.service[from]!);
    put(column.route, row, data.route[from]!);
    put(column.method, row, data.method[from]!);
    column.generation.set(row, data.generation[from]!);
    column.edgeClass.set(row, data.edgeClass[from]!);
    column.status.set(row, data.status[from]!);
    column.streamClass.set(row, data.streamClass[from]!);
    column.incomplete.set(row, split.incomplete);
    column.hops.set(row, split.hops);
    column.roots.set(row, split.roots);
    column.byInterval.set(row, split.byInterval);
    column.duration.set(row, split.durationNs);
    this.#totals.forEach((total, kind) => setSigned(total, row, segments.totals[kind]!));
    for (let i = 0; i < segments.count; i++) {
      this.#kinds.values.set(this.#kinds.append(row), segments.kinds[i]!);
      put(this.#places.values, this.#places.append(row), segments.places[i]!);
      put(this.#details.values, this.#details.append(row), segments.details[i]!);
      setSigned(this.#ns.values, this.#ns.append(row), segments.ns[i]!);
    }
    this.finishRow();
  }

  override clear(): void {
    super.clear();
    this.#entries.clear();
  }

  #entry(column: DictionaryColumn, name: number, texts: readonly string[]): number {
    let entries = this.#entries.get(column);
    if (entries === undefined) this.#entries.set(column, (entries = []));
    return (entries[name] ??= column.dictionary.putText(texts[name]!));
  }
}

/** Minute that a trace is published with: that of its root, Unix milliseconds. */
export function minuteOfTrace({ split, columns, baseMs }: ClosedTrace): number {
  const seconds = Math.floor(columns.data.start[split.root]! / 1e9);
  return minuteOf(baseMs + seconds * 1000);
}

/** Whole nanoseconds, also negative, exact below 2^53. */
function setSigned(column: Uint64Column, row: number, ns: number): void {
  const high = Math.floor(ns / 4294967296);
  column.setWords(row, ns - high * 4294967296, high);
}

/** base (milliseconds) + offset (nanoseconds) exceeds 2^53 nanoseconds: 64 bits in two words. */
function setNanoseconds(column: Uint64Column, row: number, baseMs: number, offsetNs: number): void {
  const ns = BigInt(baseMs) * 1_000_000n + BigInt(offsetNs);
  column.setWords(row, Number(ns & 0xffffffffn), Number(ns >> 32n));
}
