/**
 * Every attribute name that Azimuth writes or reads, once. Stable OpenTelemetry semantic
 * conventions first; our own names start with `azimuth.`.
 */
export const ATTR = {
  // Resource: constants of one process and of the workload that it stands for.
  serviceName: 'service.name',
  serviceNamespace: 'service.namespace',
  serviceVersion: 'service.version',
  serviceInstanceId: 'service.instance.id',
  hostName: 'host.name',
  zone: 'cloud.availability_zone',
  cluster: 'azimuth.cluster',
  mesh: 'azimuth.mesh',
  topology: 'azimuth.topology',
  proxyName: 'azimuth.proxy.name',
  proxyRole: 'azimuth.proxy.role',
  bootId: 'azimuth.boot_id',
  clockId: 'azimuth.clock_id',

  // SERVER span of a hop: what other tools want to read.
  method: 'http.request.method',
  route: 'http.route',
  scheme: 'url.scheme',
  path: 'url.path',
  status: 'http.response.status_code',
  protocolVersion: 'network.protocol.version',
  serverAddress: 'server.address',
  clientAddress: 'client.address',
  errorType: 'error.type',
  /** Who called: the downstream workload, as far as it is known. */
  peerName: 'service.peer.name',
  proxySide: 'azimuth.proxy.side',
  edgeClass: 'azimuth.edge_class',
  /** The split reading; `perspective` is a parameter of the query. */
  direction: 'azimuth.traffic.direction',
  /** Of metrics that stand under both; no span carries it. */
  perspective: 'azimuth.traffic.perspective',
  /** Whom the hop calls: the cluster, that is the target workload. */
  target: 'azimuth.target',
  /** Who sent the request, by API key or token: a name of few, else `other`. */
  consumer: 'azimuth.consumer',
  ownNs: 'azimuth.own_ns',
  /** `upper_bound` where own time is at most azimuth.own_ns; left out where it is exact. */
  ownBound: 'azimuth.own_bound',
  upstreamNs: 'azimuth.upstream_ns',
  attempts: 'azimuth.attempts',
  /** True on hops of copies of requests, which are no load; left out on any other. */
  mirrored: 'azimuth.mirrored',
  /** All other facts of the hop, packed: docs/HOP-FORMAT.md. */
  hop: 'azimuth.hop',

  // CLIENT span of one attempt (hop_format: attributes).
  attempt: 'azimuth.attempt',
  /** Tries before this one; left out on the first. */
  resendCount: 'http.request.resend_count',
  attemptWaitNs: 'azimuth.attempt.wait_ns',
  attemptConnectNs: 'azimuth.attempt.connect_ns',
  attemptMeshed: 'azimuth.attempt.meshed',
  attemptAnswered: 'azimuth.attempt.answered',
  attemptPooled: 'azimuth.attempt.pooled',
  /** How an attempt ended that brought no whole answer; left out on any other. */
  attemptEnd: 'azimuth.attempt.end',
} as const;

/**
 * The facts of `azimuth.hop` as plain attributes (hop_format: attributes), for backends that do not
 * unpack it. Nanoseconds; a time point that was not reached is left out.
 */
export const PLAIN_HOP = {
  seq: 'azimuth.seq',
  /** Followed by the name of the time point and `_ns`: offset from the start of the span. */
  timePrefix: 'azimuth.time.',
  waitNs: 'azimuth.wait_ns',
  waitAttemptsNs: 'azimuth.wait_attempts_ns',
  backoffNs: 'azimuth.backoff_ns',
  poolNs: 'azimuth.pool_ns',
  connectNs: 'azimuth.connect_ns',
  loopNs: 'azimuth.loop_delay_ns',
  bytesIn: 'azimuth.bytes_in',
  bytesOut: 'azimuth.bytes_out',
  /** Response flags, comma between them, as in Envoy's access log. */
  flags: 'azimuth.response_flags',
  answeredBy: 'azimuth.answered_by',
  streamClass: 'azimuth.stream_class',
  peerKnown: 'azimuth.peer.known',
  peerRole: 'azimuth.peer.role',
  configGeneration: 'azimuth.config_generation',
  deadlineMs: 'azimuth.deadline_ms',
  functions: 'azimuth.functions',
  /** Followed by the function and `_ns`. */
  phasePrefix: 'azimuth.phase.',
} as const;

/** Attributes of an interval of a tunnel: telemetry/tunnel-span.ts. */
export const TUNNEL = {
  /** Number of the interval within its tunnel, from 1 without gaps. */
  interval: 'azimuth.tunnel.interval',
  bytesIn: 'azimuth.tunnel.bytes_in',
  bytesOut: 'azimuth.tunnel.bytes_out',
  totalBytesIn: 'azimuth.tunnel.total_bytes_in',
  totalBytesOut: 'azimuth.tunnel.total_bytes_out',
  /** Why the tunnel ended; only on its last interval. */
  ended: 'azimuth.tunnel.ended',
} as const;

/** Name of the log event that carries a ledger. */
export const LEDGER_EVENT = 'azimuth.ledger';

/** Instrumentation scope of our spans. */
export const SCOPE_NAME = 'azimuth';

/** Kafka topics. */
export const TOPIC_SPANS = 'otlp_spans';
export const TOPIC_LOGS = 'otlp_logs';

/**
 * Milliseconds that whoever called will still wait, whole and at least 0: each proxy subtracts what
 * it used, and ends a request whose time is up. Believed from inside the mesh only, sent to workloads
 * only; an application that passes it on lets its own calls end in time.
 */
export const DEADLINE_HEADER = 'azimuth-deadline-ms';

/**
 * Header by which a caller's proxy names its workload to a `mesh_only` listener while certificates
 * are not in use: `azimuth-peer: <role>;<workload>`, role one of PEER_ROLES. A gateway strips it
 * from outside.
 */
export const PEER_HEADER = 'azimuth-peer';

/**
 * Header that marks a copy of a request, with the value 1: its hops are no load. Believed from
 * callers that are known only, told to workloads only. The trace id says the same (MIRRORED_TRACE), for
 * applications that pass nothing else on.
 */
export const MIRRORED_HEADER = 'azimuth-mirrored';

/**
 * The first half of the trace id of a copy, as two words: the ASCII of `mirrored`. So the mark goes
 * wherever trace context goes, and spans of applications can be told by it too. The other 64 bits
 * are random; W3C level 2 asks for 56.
 */
export const MIRRORED_TRACE = [0x6d697272, 0x6f726564] as const;

/** Header by which the proxy at the edge tells the application who sent a request, where it knows. */
export const CONSUMER_HEADER = 'azimuth-consumer';
