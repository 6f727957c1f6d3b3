/**
 * What one process takes from the mesh file: all references resolved, all defaults filled in, so
 * that a proxy never looks anything up by name.
 */
import type { PeerRole, ProxyRole, ProxySide } from '../telemetry/edge-class.ts';
import type { FunctionsPart } from './functions.ts';
import type { LimitsPart } from './limits.ts';
import type { RouteMatch } from './route-order.ts';

/** Identity of a workload, as it stands on the Resource of its spans. */
export interface WorkloadIdentity {
  readonly name: string;
  readonly namespace: string;
  readonly version: string;
  readonly zone: string;
  /** `workload`, `bff`, `gateway_bff` (its sidecar performs the gateway's functions), or `gateway`. */
  readonly role: PeerRole;
}

/** When an endpoint gets no requests for a while: proxy/balancer.ts. */
export interface OutliersPart {
  /** In a row. */
  readonly failures: number;
  /** The first time, and the longest. */
  readonly eject_ms: number;
  readonly eject_max_ms: number;
}

/** How endpoints are asked whether they are well. */
export interface HealthCheckPart {
  /** Absent: whether they take a connection. */
  readonly path?: string | undefined;
  readonly interval_ms: number;
  readonly timeout_ms: number;
  /** Checks in a row until it counts. */
  readonly unhealthy_after: number;
  readonly healthy_after: number;
}

export interface Endpoint {
  readonly host: string;
  readonly port: number;
}

/** A certificate of a listener, with its key: paths of PEM files. */
export interface CertificatePart {
  /** Names by which clients ask for it (SNI), lower case, `*.` for one label; empty: any other. */
  readonly server_names: readonly string[];
  readonly cert: string;
  readonly key: string;
}

/** TLS that a listener ends. */
export interface ListenerTlsPart {
  /**
   * `mesh`: clients are proxies, and who they are stands in their certificate. `edge`: clients are
   * outside, whatever their certificate says.
   */
  readonly clients: 'mesh' | 'edge';
  /** At least one; the first also serves clients that name none of the names. */
  readonly certificates: readonly CertificatePart[];
  /** Authorities of client certificates; absent: none is asked for. */
  readonly client_ca?: string | undefined;
  readonly client_certificate: 'none' | 'optional' | 'required';
  readonly min_version: 'TLSv1.2' | 'TLSv1.3';
  /** Plain HTTP is served too. */
  readonly plain: boolean;
}

/** TLS to the endpoints of a cluster in the mesh: our certificate, and whose theirs must be. */
export interface ClusterTlsPart {
  readonly ca: string;
  readonly cert: string;
  readonly key: string;
  /** SPIFFE id that the certificate of the other side must hold. */
  readonly id: string;
}

/** Who the callers of a mesh listener can be. */
export interface IdentityPart {
  readonly trust_domain: string;
  /** Workloads and gateways of the mesh by SPIFFE id. */
  readonly peers: Readonly<Record<string, { readonly name: string; readonly role: PeerRole }>>;
  /** Calls go over TLS; false: as before, with the `azimuth-peer` header. */
  readonly calls: boolean;
}

export interface Cluster {
  /** The target workload's name, or the name of an external. */
  readonly name: string;
  readonly endpoints: readonly Endpoint[];
  /** True when a sidecar of the mesh answers there. */
  readonly meshed: boolean;
  /** `workload`/`bff`/… of a target in the mesh, `external` outside of it. */
  readonly role: PeerRole;
  readonly connect_timeout_ms: number;
  /** Absent: the defaults of mesh/resilience.ts. */
  readonly retry_budget?: { readonly percent: number; readonly min_per_s: number };
  /** How an endpoint is chosen; absent: least_load. */
  readonly balance?: 'least_load' | 'round_robin';
  readonly outliers?: OutliersPart;
  /** Absent: only by what becomes of requests. */
  readonly health_check?: HealthCheckPart;
  /** Names of endpoints stand for all their addresses, looked up so often; absent: for the first. */
  readonly dns_refresh_ms?: number;
  /** Present: connections are TLS, between proxies that prove who they are. */
  readonly tls?: ClusterTlsPart | undefined;
}

export interface Route extends RouteMatch {
  /** `http.route`: template such as `/products/{id}`; `/*` for the catch-all. */
  readonly template: string;
  /** Where it leads; the first of `split`, where there is one. */
  readonly cluster: Cluster;
  /** Several targets and their shares; absent: `cluster` gets everything. */
  readonly split?: readonly WeightedCluster[];
  /** From the end of the request to the first byte of the response. */
  readonly response_timeout_ms: number;
  /** Protocols, lower case, to which a connection may be upgraded. */
  readonly upgrades: readonly string[];
  /** Copies of its requests go there too; absent: none. */
  readonly mirror?: MirrorPart;
  /** Absent where the mesh file asks for nothing of it: then it costs a request nothing. */
  readonly policy?: RoutePolicy;
  /**
   * On the listener of a gateway that shares its sidecar with this BFF: the request goes to the
   * application straight away, so that the one pass is the BFF's inbound hop.
   */
  readonly inbound_of?: WorkloadIdentity;
  /** SPIFFE ids of callers that it takes, `*` at the end for any rest; absent: every caller. */
  readonly allow?: readonly string[] | undefined;
  /** What is done for it beside carrying; absent: nothing. */
  readonly functions?: FunctionsPart | undefined;
}

/** How a route meets slow and failing services; what is absent is not done. */
export interface RoutePolicy {
  /** From the request head to the last byte of the answer, retries included. */
  readonly timeout_ms?: number;
  /** From the start of an attempt to the first byte of its answer. */
  readonly try_timeout_ms?: number;
  /** Longest pause within an answer. */
  readonly idle_timeout_ms?: number;
  readonly retry?: RetryPart;
}

export interface RetryPart {
  /** The first one included, 2 or more. */
  readonly attempts_max: number;
  readonly on: readonly ('connect_failure' | 'reset' | 'gateway_error' | 'timeout')[];
  readonly statuses: readonly number[];
  /** Upper case; `connect_failure` counts for all. */
  readonly methods: readonly string[];
  readonly body_bytes_max: number;
  readonly backoff_ms: number;
  readonly backoff_max_ms: number;
}

/** Copies of some requests of a route. */
export interface MirrorPart {
  readonly cluster: Cluster;
  /** Share of the requests, 0 to 100. */
  readonly percent: number;
  /** A request with a longer body is not copied. */
  readonly body_bytes_max: number;
  /** From the start of a copy to the last byte of its answer. */
  readonly timeout_ms: number;
}

export interface WeightedCluster {
  readonly cluster: Cluster;
  /** Share of the requests relative to the sum of all; 0 = none. */
  readonly weight: number;
}

export interface Listener {
  readonly name: string;
  readonly side: ProxySide;
  readonly host: string;
  readonly port: number;
  /** Believes `azimuth-peer` of its caller (peer_known = configuration). */
  readonly mesh_only: boolean;
  /** The workload it stands for: the gateway itself, the workload served, or the local caller. */
  readonly workload: WorkloadIdentity;
  /** In the order of the mesh file; which one gets a request says route-order.ts. */
  readonly routes: readonly Route[];
  /** Absent: plain HTTP. */
  readonly tls?: ListenerTlsPart | undefined;
  /** Proxies in front of an ingress listener whose `x-forwarded-*` are believed; absent: 0. */
  readonly trusted_hops?: number | undefined;
}

export type Compression = 'none' | 'gzip' | 'zstd';

/** TLS of a client of ours: paths of PEM files, and whose certificate the other side must have. */
export interface ClientTlsPart {
  readonly ca?: string | undefined;
  readonly cert?: string | undefined;
  readonly key?: string | undefined;
  readonly server_name?: string | undefined;
}

/** How to get into Kafka, for producer, consumer and commands alike. */
export interface KafkaAccessPart {
  readonly brokers: readonly string[];
  readonly tls?: ClientTlsPart | undefined;
  readonly sasl?:
    | {
        readonly mechanism: 'plain' | 'scram-sha-256' | 'scram-sha-512';
        readonly username: string;
        readonly password: string;
      }
    | undefined;
}

export interface TelemetryPart {
  readonly transport: 'otlp' | 'kafka';
  readonly otlp: {
    /** Without a slash at its end. */
    readonly endpoint: string;
    readonly compression: Compression;
    readonly tls?: ClientTlsPart | undefined;
    readonly token?: string | undefined;
  };
  readonly kafka: KafkaAccessPart & {
    readonly topic_spans: string;
    readonly topic_logs: string;
    readonly compression: Compression;
  };
  readonly hop_format: 'packed' | 'attributes';
  readonly path: 'template' | 'hash' | 'keep';
  readonly flush_interval_ms: number;
  readonly queue_bytes_max: number;
  readonly queue_hops_max: number;
  readonly age_max_ms: number;
  readonly spool: { readonly dir?: string | undefined; readonly bytes_max: number };
  /** Folder of the counter files as it was written; absent: where bin/ decides. */
  readonly state_dir?: string | undefined;
}

export interface ProxyPart {
  /** Path of the mesh file that it was read from; absent where it was made by code. */
  readonly source?: string;
  readonly mesh: string;
  readonly topology: string;
  readonly cluster: string;
  readonly name: string;
  readonly role: Exclude<ProxyRole, ''>;
  /** Counts the configurations of a running proxy, from 1. */
  readonly generation: number;
  /** Processes that share the connections, 1 or more. */
  readonly workers: number;
  readonly listeners: readonly Listener[];
  readonly admin: Endpoint;
  readonly telemetry: TelemetryPart;
  readonly limits: LimitsPart;
  /** Absent: callers in the mesh are known by configuration only. */
  readonly identity?: IdentityPart | undefined;
  /** Content of the PEM files that the listeners name, by path: proxy/identity/files.ts. */
  readonly files?: Readonly<Record<string, string>> | undefined;
}

export interface StorePart {
  readonly url: string;
  readonly database: string;
  readonly user: string;
  readonly password: string;
  readonly tls?: { ca: string; cert?: string | undefined; key?: string | undefined } | undefined;
  readonly retention_days: number;
}
