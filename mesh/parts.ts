/**
 * Mesh → the part of one process, all references resolved. Pure: opens nothing, reads no file.
 * proxy/, collector/, store/ and analytics/ see only these parts, never the whole mesh.
 */
import { resolve } from 'node:path';
import { AzimuthError } from '../runtime/errors.ts';
import type { Mesh } from './load.ts';
import type { Endpoint, ProxyPart, StorePart, TelemetryPart } from './part.ts';
import { withFiles } from './parts/files.ts';
import { gatewayListener, sidecarListeners } from './parts/listeners.ts';
import { telemetryPart } from './parts/telemetry.ts';
import { identified, identityPart } from './parts/tls.ts';

/** Where OTLP is taken, and what a sender must show. */
interface OtlpReceiverPart extends Endpoint {
  /** Paths of PEM files. */
  readonly tls?: { cert: string; key: string; client_ca?: string | undefined } | undefined;
  /** Bearer token that every request must have. */
  readonly token?: string | undefined;
}

/** What the collector takes: where it listens, where it reads and where it stores. */
export interface CollectorPart {
  readonly otlp_http: OtlpReceiverPart;
  readonly otlp_grpc: OtlpReceiverPart;
  readonly admin: Endpoint;
  readonly telemetry: TelemetryPart;
  readonly store: StorePart;
  readonly kafka: { readonly group_id: string };
}

/** What the analytics process takes. */
export interface AnalyticsPart extends Endpoint {
  readonly mesh: string;
  readonly topology: string;
  /** As the user of the jobs, who may write. */
  readonly store: StorePart;
  /** As the user of the API; the same where the mesh file names none. */
  readonly readingStore: StorePart;
}

export function storePart(mesh: Mesh): StorePart {
  return withFiles(mesh, mesh.config.store);
}

export function collectorPart(mesh: Mesh): CollectorPart {
  const { collector } = mesh.config;
  return {
    ...collector,
    otlp_http: withFiles(mesh, collector.otlp_http),
    otlp_grpc: withFiles(mesh, collector.otlp_grpc),
    telemetry: telemetryPart(mesh),
    store: storePart(mesh),
  };
}

export function analyticsPart(mesh: Mesh): AnalyticsPart {
  const { analytics, mesh: name, topology } = mesh.config;
  const { reader, ...address } = analytics;
  const store = storePart(mesh);
  return { ...address, mesh: name, topology, store, readingStore: { ...store, ...reader } };
}

/**
 * The part of the gateway or sidecar called `name`; with `role`, only of that kind.
 * Throws AZ_USAGE naming those that there are when there is none of that name.
 */
export function proxyPart(mesh: Mesh, name: string, role?: 'gateway' | 'sidecar'): ProxyPart {
  const { config } = mesh;
  const gateway = role === 'sidecar' ? undefined : config.gateways.find((g) => g.name === name);
  const sidecar = role === 'gateway' ? undefined : config.sidecars.find((s) => s.name === name);
  const owner = gateway ?? sidecar;
  if (owner === undefined) {
    const names = [
      ...(role === 'sidecar' ? [] : config.gateways),
      ...(role === 'gateway' ? [] : config.sidecars),
    ].map((proxy) => proxy.name);
    throw new AzimuthError(
      'AZ_USAGE',
      `${mesh.file} has no ${role ?? 'proxy'} called "${name}" (there are: ${names.join(', ') || 'none'})`,
    );
  }
  return {
    source: resolve(mesh.file),
    mesh: config.mesh,
    topology: config.topology,
    cluster: config.cluster,
    name,
    role: gateway === undefined ? 'sidecar' : 'gateway',
    // The first configuration of this process; a reload counts on from here.
    generation: 1,
    workers: owner.workers,
    listeners: identified(
      mesh,
      name,
      gateway === undefined ? sidecarListeners(mesh, sidecar!) : [gatewayListener(mesh, gateway)],
    ),
    admin: owner.admin,
    telemetry: telemetryPart(mesh),
    limits: config.limits,
    ...identityPart(config),
  };
}
