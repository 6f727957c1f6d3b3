/**
 * `azimuth collector`: receives spans and ledgers over OTLP/HTTP and OTLP/gRPC (and Kafka, when that
 * is the mesh's transport) and stores them in ClickHouse.
 */
import { parseArgs } from 'node:util';
import { setFlagsFromString } from 'node:v8';
import { createCollector } from '../../collector/process.ts';
import { collectorPart } from '../../mesh/parts.ts';
import { runUntilSignal } from '../../runtime/lifecycle.ts';
import { createLog } from '../../runtime/log.ts';
import type { Command } from '../command.ts';
import { meshFromArgs } from '../mesh-option.ts';

export const command: Command = {
  help: `
azimuth collector: receive spans and ledgers, store them in ClickHouse, then acknowledge

Usage: azimuth collector [--mesh FILE] [--check]

  --mesh FILE   mesh file; its collector, telemetry and store sections are used
  --check       validate the mesh file, open nothing

Ports (mesh file: collector.otlp_http, collector.otlp_grpc, collector.admin):
  4318    OTLP/HTTP: POST /v1/traces, /v1/logs; protobuf or JSON; gzip, deflate, zstd
  4317    OTLP/gRPC: traces and logs; gzip, deflate, zstd
  13133   /healthz, /readyz (the store answers), /metrics

What cannot be stored goes to table dead_letters with its reason. A store that is away is answered
with 503 and Retry-After; nothing is acknowledged before it is stored. When messages of Kafka wait
and nothing becomes of them for a minute, the process ends with exit code 75, to be started again.

Examples:
  azimuth collector --mesh mesh.yaml
  azimuth sql "SELECT Reason, sum(Items) FROM dead_letters GROUP BY Reason"
`,
  async run(args) {
    const { values } = parseArgs({
      args: [...args],
      options: { mesh: { type: 'string' }, check: { type: 'boolean', default: false } },
    });
    const part = collectorPart(meshFromArgs(values));
    const { telemetry, store, otlp_http: http, otlp_grpc: grpc } = part;
    const sources =
      `OTLP/HTTP on ${http.host}:${http.port}, OTLP/gRPC on ${grpc.host}:${grpc.port}` +
      (telemetry.transport === 'kafka' ? ` and Kafka ${telemetry.kafka.brokers.join(', ')}` : '');
    if (values.check) {
      process.stdout.write(`ok: collector, ${sources}, store ${store.url}\n`);
      return 0;
    }
    collectByAllMemory();
    const log = createLog({ fields: { process: 'collector' } });
    const collector = createCollector(part, log);
    log.info('collector', { sources, store: store.url });
    return runUntilSignal(collector.lifecycle, log, () => collector.unhealthy());
  },
};

/**
 * Messages and blocks lie outside of V8's heap, which is small here (some 20 MB) and hardly changes.
 * Left alone, V8 marks all of it again for every few dozen megabytes of such buffers: a third of the
 * CPU of a busy collector (measured: 45 to 65 times for 600,000 spans; so 8 times, in no more memory).
 */
function collectByAllMemory(): void {
  setFlagsFromString('--external-memory-accounted-in-global-limit');
}
