/**
 * Rows of hops and ledgers, written straight into a store, for tests of what reads them. Each row
 * has what the test names and plausible values for the rest.
 */
import {
  EDGE_CLASSES,
  type EdgeClass,
  type ProxyRole,
  type ProxySide,
} from '../../telemetry/edge-class.ts';
import type { StoreClient } from '../../store/client.ts';

export interface TestHop {
  /** Start, Unix milliseconds. */
  readonly atMs: number;
  /** Names the hop: trace id and span id are made from it. */
  readonly n: number;
  readonly parentOf?: number;
  /** Attempt of the parent that brought this hop; default 1. */
  readonly parentAttempt?: number;
  readonly attempts?: number;
  /** Bits of RESPONSE_FLAGS. */
  readonly flags?: number;
  readonly role?: ProxyRole;
  readonly side?: ProxySide;
  readonly edgeClass?: EdgeClass;
  readonly service?: string;
  readonly peer?: string;
  readonly peerKnown?: string;
  readonly target?: string;
  readonly route?: string;
  readonly method?: string;
  readonly status?: number;
  readonly durationNs?: number;
  readonly waitNs?: number;
  readonly ownNs?: number;
  readonly streamClass?: string;
  /** Left at the start; absent: the hop had none. */
  readonly deadlineMs?: number;
  /** Default `separate`. */
  readonly topology?: string;
  /** Default 0. */
  readonly generation?: number;
  readonly attemptBits?: number;
  readonly proxy?: string;
  readonly boot?: string;
  readonly seq?: number;
  /** It is the first hop of a copy of this one. */
  readonly mirrorOf?: number;
  /** Unix seconds; default: the start. */
  readonly ingestedS?: number;
}

const hex = (n: number, digits: number): string => n.toString(16).padStart(digits, '0');
/** Span id of hop n; its low 4 bits are 0. */
const spanIdOf = (n: number): string => hex(n, 15) + '0';

const timeOf = (ms: number): string =>
  new Date(ms).toISOString().replace('T', ' ').replace('Z', '');

const traceIdOf = (n: number): string => hex(Math.floor(n / 5) + 1, 32);

function rowOf(hop: TestHop): Record<string, unknown> {
  const { n, mirrorOf, durationNs = 5_000_000, waitNs = 0, ownNs = 300_000 } = hop;
  return {
    Timestamp: timeOf(hop.atMs),
    TraceId: traceIdOf(n),
    SpanId: spanIdOf(n),
    ParentSpanId:
      hop.parentOf === undefined
        ? ''
        : spanIdOf(hop.parentOf).slice(0, 15) + hex(hop.parentAttempt ?? 1, 1),
    HopVersion: mirrorOf === undefined ? 1 : 0,
    MirrorVersion: mirrorOf === undefined ? 0 : 1,
    'Links.TraceId': mirrorOf === undefined ? [] : [traceIdOf(mirrorOf)],
    'Links.SpanId': mirrorOf === undefined ? [] : [spanIdOf(mirrorOf)],
    'Links.TraceState': mirrorOf === undefined ? [] : [''],
    'Links.Attributes': mirrorOf === undefined ? [] : [{}],
    Mesh: 'shop',
    Topology: hop.topology ?? 'separate',
    ConfigGeneration: hop.generation ?? 0,
    DeadlineMs: hop.deadlineMs === undefined ? 0 : hop.deadlineMs + 1,
    Role: hop.role ?? 'gateway',
    Side: hop.side ?? 'ingress',
    EdgeClass: hop.edgeClass ?? 'external_to_gateway',
    ServiceName: hop.service ?? 'edge',
    Peer: hop.peer ?? '',
    PeerKnown: hop.peerKnown ?? 'listener',
    Target: hop.target ?? 'web-bff',
    Route: hop.route ?? '/products/{id}',
    Method: hop.method ?? 'GET',
    HttpStatus: hop.status ?? 200,
    Duration: durationNs,
    WaitNs: waitNs,
    OwnNs: ownNs,
    UpstreamNs: Math.max(0, durationNs - waitNs - ownNs),
    BytesIn: 310,
    BytesOut: 720,
    Attempts: hop.attempts ?? 1,
    Flags: hop.flags ?? 0,
    AttemptBits: hop.attemptBits ?? 0,
    StreamClass: hop.streamClass ?? '',
    Proxy: hop.proxy ?? 'edge',
    BootId: hop.boot ?? 'boot-edge',
    Seq: hop.seq ?? n + 1,
    IngestedAt: hop.ingestedS ?? Math.floor(hop.atMs / 1000),
  };
}

/** Stores hops, once for each time they are given: a replay stores a row twice. */
export async function insertHops(store: StoreClient, hops: readonly TestHop[]): Promise<void> {
  // A block equal to an earlier one would be taken for its repetition and not stored again.
  const settings = 'SETTINGS insert_deduplicate = 0';
  const lines = hops.map((hop) => JSON.stringify(rowOf(hop)));
  await store.command(
    `INSERT INTO spans (${Object.keys(rowOf({ n: 0, atMs: 0 }))
      .map((name) => `\`${name}\``)
      .join(', ')}) ${settings} FORMAT JSONEachRow\n${lines.join('\n')}`,
  );
}

export interface TestLedger {
  readonly atMs: number;
  readonly boot: string;
  readonly proxy?: string;
  readonly role?: ProxyRole;
  /** Hops finished; also the last sequence number. */
  readonly finished: number;
  /** Default: all that were not dropped. */
  readonly emitted?: number;
  readonly spooled?: number;
  readonly dropped?: Readonly<Record<string, number>>;
  readonly closing?: boolean;
  /** Given in a successor's statement about a process that was killed. */
  readonly endedByMs?: number;
  readonly cpuNs?: number;
}

export async function insertLedger(store: StoreClient, ledger: TestLedger): Promise<void> {
  const dropped = Object.entries(ledger.dropped ?? {});
  const sum = dropped.reduce((n, [, hops]) => n + hops, 0);
  await store.command(
    `INSERT INTO ledgers (Timestamp, Proxy, Role, BootId, LastSeq, HopsFinished, Emitted, Dropped, Spooled, CpuNs, Closing, EndedBy)
     SELECT fromUnixTimestamp64Milli({at:Int64}), {proxy:String}, {role:String}, {boot:String},
       {finished:UInt64}, {finished:UInt64}, {emitted:UInt64},
       CAST(arrayZip({reasons:Array(String)}, {hops:Array(UInt64)}), 'Map(String, UInt64)'),
       {spooled:UInt64}, {cpu:UInt64}, {closing:UInt8}, fromUnixTimestamp64Milli({ended:Int64})`,
    {
      at: ledger.atMs,
      proxy: ledger.proxy ?? 'edge',
      role: ledger.role ?? 'gateway',
      boot: ledger.boot,
      finished: ledger.finished,
      emitted: ledger.emitted ?? ledger.finished - sum - (ledger.spooled ?? 0),
      spooled: ledger.spooled ?? 0,
      reasons: dropped.map(([reason]) => reason),
      hops: dropped.map(([, hops]) => hops),
      cpu: ledger.cpuNs ?? ledger.finished * 41_000,
      closing: ledger.closing === true ? 1 : 0,
      ended: ledger.endedByMs ?? 0,
    },
  );
}

/** Random hops of all edge classes, spread over a stretch; some streams, errors and slow clients. */
export function randomHops(
  random: () => number,
  settings: {
    readonly count: number;
    readonly fromMs: number;
    readonly spanMs: number;
    readonly firstN?: number;
  },
): TestHop[] {
  return Array.from({ length: settings.count }, (_, i): TestHop => {
    const edgeClass = EDGE_CLASSES[Math.floor(random() * EDGE_CLASSES.length)]!;
    const durationNs = Math.round(1e5 * Math.exp(random() * 8));
    return {
      n: (settings.firstN ?? 0) + i,
      atMs: settings.fromMs + Math.floor(random() * settings.spanMs),
      edgeClass,
      role: edgeClass === 'external_to_gateway' ? 'gateway' : 'sidecar',
      side: edgeClass === 'external_to_gateway' ? 'ingress' : 'inbound',
      status: random() < 0.05 ? 500 + Math.floor(random() * 5) : random() < 0.02 ? 0 : 200,
      method: random() < 0.9 ? 'GET' : `X${Math.floor(random() * 1e6)}`,
      durationNs,
      waitNs: random() < 0.1 ? Math.floor(durationNs / 3) : 0,
      ownNs: Math.floor(durationNs * random() * 0.2),
      streamClass: random() < 0.05 ? 'stream' : '',
    };
  });
}
