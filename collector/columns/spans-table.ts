/**
 * Table `spans` as column buffers, in the order of store/schema/ (a test compares), and
 * which attribute goes to which column. An attribute without a column, or whose value its column
 * cannot hold exactly, goes to the Maps: nothing that came in is lost or bent.
 */
import {
  EDGE_CLASSES,
  PEER_KNOWN,
  PEER_ROLES,
  PROXY_ROLES,
  PROXY_SIDES,
} from '../../telemetry/edge-class.ts';
import { ANSWERED_BY, STREAM_CLASSES } from '../../telemetry/hop-record.ts';
import { ATTR } from '../../telemetry/names.ts';
import {
  EnumColumn,
  IdColumn,
  NumberColumn,
  Uint64Column,
} from '../../store/native/fixed-columns.ts';
import { ArrayColumn, TextMapColumn } from '../../store/native/nested-columns.ts';
import { Table } from '../../store/native/table.ts';
import { DictionaryColumn, TextColumn } from '../../store/native/text-columns.ts';

export const SPAN_KINDS = [
  'Unspecified',
  'Internal',
  'Server',
  'Client',
  'Producer',
  'Consumer',
] as const;
/** Position of 'Server' in SPAN_KINDS: only such a span can be a hop. */
export const KIND_SERVER = 2;
export const STATUS_CODES = ['Unset', 'Ok', 'Error'] as const;

const text = (name: string): TextColumn => new TextColumn(name);
const word = (name: string): DictionaryColumn => new DictionaryColumn(name);
const uint64 = (name: string): Uint64Column => new Uint64Column(name, 'UInt64');
const int64 = (name: string): Uint64Column => new Uint64Column(name, 'Int64');
const uint64s = (name: string): ArrayColumn<Uint64Column> => new ArrayColumn(name, uint64(''));

function spanColumns() {
  return {
    timestamp: new Uint64Column('Timestamp', 'DateTime64(9)'),
    traceId: new IdColumn('TraceId', 16),
    spanId: new IdColumn('SpanId', 8),
    parentSpanId: new IdColumn('ParentSpanId', 8),
    traceState: text('TraceState'),
    spanName: word('SpanName'),
    spanKind: new EnumColumn('SpanKind', SPAN_KINDS),
    serviceName: word('ServiceName'),
    serviceNamespace: word('ServiceNamespace'),
    serviceVersion: word('ServiceVersion'),
    instance: word('Instance'),
    host: word('Host'),
    zone: word('Zone'),
    resourceAttributes: new TextMapColumn('ResourceAttributes'),
    scopeName: word('ScopeName'),
    scopeVersion: word('ScopeVersion'),
    spanAttributes: new TextMapColumn('SpanAttributes'),
    durationNs: uint64('Duration'),
    statusCode: new EnumColumn('StatusCode', STATUS_CODES),
    statusMessage: text('StatusMessage'),
    eventTime: new ArrayColumn('Events.Timestamp', new Uint64Column('', 'DateTime64(9)')),
    eventName: new ArrayColumn('Events.Name', word('')),
    eventAttributes: new ArrayColumn('Events.Attributes', new TextMapColumn('')),
    linkTraceId: new ArrayColumn('Links.TraceId', new IdColumn('', 16)),
    linkSpanId: new ArrayColumn('Links.SpanId', new IdColumn('', 8)),
    linkTraceState: new ArrayColumn('Links.TraceState', text('')),
    linkAttributes: new ArrayColumn('Links.Attributes', new TextMapColumn('')),
    hopVersion: new NumberColumn('HopVersion', 'UInt8'),
    mirrorVersion: new NumberColumn('MirrorVersion', 'UInt8'),
    mesh: word('Mesh'),
    cluster: word('Cluster'),
    topology: word('Topology'),
    proxy: word('Proxy'),
    role: new EnumColumn('Role', PROXY_ROLES),
    side: new EnumColumn('Side', PROXY_SIDES),
    edgeClass: new EnumColumn('EdgeClass', EDGE_CLASSES),
    peer: word('Peer'),
    peerRole: new EnumColumn('PeerRole', PEER_ROLES),
    peerKnown: new EnumColumn('PeerKnown', PEER_KNOWN),
    target: word('Target'),
    route: word('Route'),
    method: word('Method'),
    scheme: word('Scheme'),
    protocol: word('Protocol'),
    serverAddress: word('ServerAddress'),
    path: text('Path'),
    clientAddress: text('ClientAddress'),
    httpStatus: new NumberColumn('HttpStatus', 'UInt16'),
    errorType: word('ErrorType'),
    ownNs: uint64('OwnNs'),
    upstreamNs: uint64('UpstreamNs'),
    waitNs: uint64('WaitNs'),
    backoffNs: uint64('BackoffNs'),
    waitAttemptsNs: uint64('WaitAttemptsNs'),
    poolNs: uint64('PoolNs'),
    connectNs: uint64('ConnectNs'),
    loopNs: uint64('LoopNs'),
    requestLastNs: uint64('TReqLast'),
    upstreamFirstNs: uint64('TUpFirst'),
    upstreamLastNs: int64('TUpLast'),
    responseFirstNs: uint64('TResFirst'),
    responseLastNs: int64('TResLast'),
    downstreamFirstNs: int64('TDownFirst'),
    bytesIn: uint64('BytesIn'),
    bytesOut: uint64('BytesOut'),
    functions: new NumberColumn('Functions', 'UInt32'),
    phaseFunction: new ArrayColumn('Phases.Function', new NumberColumn('', 'UInt8')),
    phaseNs: uint64s('Phases.Ns'),
    flags: new NumberColumn('Flags', 'UInt32'),
    answeredBy: new EnumColumn('AnsweredBy', ANSWERED_BY),
    streamClass: new EnumColumn('StreamClass', STREAM_CLASSES),
    configGeneration: new NumberColumn('ConfigGeneration', 'UInt32'),
    deadlineMs: new NumberColumn('DeadlineMs', 'UInt32'),
    attempts: new NumberColumn('Attempts', 'UInt8'),
    attemptBits: new NumberColumn('AttemptBits', 'UInt8'),
    attemptStartNs: uint64s('AttemptList.StartNs'),
    attemptNs: uint64s('AttemptList.Ns'),
    attemptWaitNs: uint64s('AttemptList.WaitNs'),
    attemptStatus: new ArrayColumn('AttemptList.Status', new NumberColumn('', 'UInt16')),
    attemptBitsEach: new ArrayColumn('AttemptList.Bits', new NumberColumn('', 'UInt8')),
    bootId: word('BootId'),
    clockId: word('ClockId'),
    seq: uint64('Seq'),
    source: word('Source'),
    sourcePartition: new NumberColumn('SourcePartition', 'UInt16'),
    sourceOffset: uint64('SourceOffset'),
    ingestedAt: new NumberColumn('IngestedAt', 'DateTime'),
  };
}

export type SpanColumns = ReturnType<typeof spanColumns>;

export class SpansTable extends Table {
  readonly column: SpanColumns;

  constructor() {
    const column = spanColumns();
    super('spans', Object.values(column));
    this.column = column;
  }

  /** Largest dictionary of a column of its own, entries: the pipeline closes a block by it. */
  largestDictionary(): number {
    let most = 0;
    for (const column of this.columns) {
      const dictionary =
        column instanceof DictionaryColumn
          ? column.dictionary
          : column instanceof TextMapColumn
            ? column.keys.dictionary
            : undefined;
      if (dictionary !== undefined && dictionary.count > most) most = dictionary.count;
    }
    return most;
  }
}

/** A column that one attribute can fill. */
export type AttributeColumn =
  DictionaryColumn | TextColumn | EnumColumn | NumberColumn | Uint64Column;

/** Attributes of a span that have a column. `azimuth.hop` is read by hop-columns.ts. */
export function spanAttributeColumns(c: SpanColumns): Map<string, AttributeColumn> {
  return new Map<string, AttributeColumn>([
    [ATTR.method, c.method],
    [ATTR.route, c.route],
    [ATTR.scheme, c.scheme],
    [ATTR.path, c.path],
    [ATTR.status, c.httpStatus],
    [ATTR.protocolVersion, c.protocol],
    [ATTR.serverAddress, c.serverAddress],
    [ATTR.clientAddress, c.clientAddress],
    [ATTR.errorType, c.errorType],
    [ATTR.peerName, c.peer],
    [ATTR.proxySide, c.side],
    [ATTR.edgeClass, c.edgeClass],
    [ATTR.target, c.target],
    [ATTR.ownNs, c.ownNs],
    [ATTR.upstreamNs, c.upstreamNs],
    [ATTR.attempts, c.attempts],
  ]);
}

/** Attributes of a Resource that have a column. */
export function resourceAttributeColumns(
  c: SpanColumns,
): ReadonlyMap<string, DictionaryColumn | EnumColumn> {
  return new Map<string, DictionaryColumn | EnumColumn>([
    [ATTR.serviceName, c.serviceName],
    [ATTR.serviceNamespace, c.serviceNamespace],
    [ATTR.serviceVersion, c.serviceVersion],
    [ATTR.serviceInstanceId, c.instance],
    [ATTR.hostName, c.host],
    [ATTR.zone, c.zone],
    [ATTR.cluster, c.cluster],
    [ATTR.mesh, c.mesh],
    [ATTR.topology, c.topology],
    [ATTR.proxyName, c.proxy],
    [ATTR.proxyRole, c.role],
    [ATTR.bootId, c.bootId],
    [ATTR.clockId, c.clockId],
  ]);
}
