/** Section `telemetry` → what every sender and receiver of records takes of it. */
import type { Mesh } from '../load.ts';
import type { TelemetryPart } from '../part.ts';
import { pathFrom, withFiles } from './files.ts';

export function telemetryPart(mesh: Mesh): TelemetryPart {
  const { telemetry } = mesh.config;
  const { otlp, kafka, spool } = telemetry;
  return {
    ...telemetry,
    otlp: {
      ...withFiles(mesh, otlp),
      endpoint: otlp.endpoint.replace(/\/+$/, ''),
      compression: otlp.compression ?? (isLoopback(otlp.endpoint) ? 'none' : 'zstd'),
    },
    kafka: withFiles(mesh, kafka),
    spool: { ...spool, dir: spool.dir === undefined ? undefined : pathFrom(mesh, spool.dir) },
  };
}

/** True when the URL leads to this machine itself. */
function isLoopback(url: string): boolean {
  const { hostname } = new URL(url);
  return hostname === 'localhost' || hostname === '[::1]' || /^127\.[0-9.]+$/.test(hostname);
}
