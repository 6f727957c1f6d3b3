/**
 * What `azimuth gateway` and `azimuth sidecar` have in common: their part of the mesh file, the
 * exporter that it asks for, and a process that runs until a signal and ends with its ledger as the
 * last line on stderr.
 */
import { parseArgs } from 'node:util';
import type { ProxyPart } from '../mesh/part.ts';
import { proxyPart } from '../mesh/parts.ts';
import { createProxy, ledgerJson } from '../proxy/process.ts';
import { AzimuthError } from '../runtime/errors.ts';
import { Lifecycle, runUntilSignal } from '../runtime/lifecycle.ts';
import { createLog, type Log } from '../runtime/log.ts';
import { readTlsFiles } from '../runtime/tls-files.ts';
import { LEDGER_EVENT } from '../telemetry/names.ts';
import type { Exporter } from '../transport/exporter.ts';
import { createOtlpHttpExporter } from '../transport/otlp-http-exporter.ts';
import { meshFromArgs } from './mesh-option.ts';

/** Runs the proxy of one role by command line arguments; resolves with the exit code. */
export async function runProxy(
  role: 'gateway' | 'sidecar',
  args: readonly string[],
): Promise<number> {
  const { values } = parseArgs({
    args: [...args],
    options: {
      mesh: { type: 'string' },
      name: { type: 'string' },
      check: { type: 'boolean', default: false },
    },
  });
  const mesh = meshFromArgs(values);
  const known = role === 'gateway' ? mesh.config.gateways : mesh.config.sidecars;
  const name = values.name ?? (known.length === 1 ? known[0]?.name : undefined);
  if (name === undefined) {
    const names = known.map((proxy) => proxy.name).join(', ') || 'none';
    throw new AzimuthError('AZ_USAGE', `which ${role}? Give --name NAME (there are: ${names})`);
  }
  const part = proxyPart(mesh, name, role);
  if (values.check) {
    process.stdout.write(`ok: ${role} ${name}, ${describe(part)}\n`);
    return 0;
  }
  const log = createLog({ fields: { process: role, name } });
  const proxy = createProxy({ part, exporter: await createExporter(part, log), log });
  const exitCode = await runUntilSignal(new Lifecycle(log).add(proxy), log);
  const ledger = proxy.closingLedger;
  if (ledger !== undefined) {
    const line = { event: LEDGER_EVENT, proxy: name, boot_id: proxy.bootId, ...ledgerJson(ledger) };
    process.stderr.write(JSON.stringify(line) + '\n');
  }
  return exitCode;
}

function describe(part: ProxyPart): string {
  const listeners = part.listeners.map((l) => `${l.side} on ${l.host}:${l.port}`).join(', ');
  const { transport, otlp, kafka } = part.telemetry;
  const pipe = transport === 'otlp' ? `OTLP ${otlp.endpoint}` : `Kafka ${kafka.brokers.join(', ')}`;
  return `${listeners}, admin on ${part.admin.host}:${part.admin.port}, telemetry to ${pipe}`;
}

async function createExporter({ telemetry, name }: ProxyPart, log: Log): Promise<Exporter> {
  const { otlp, kafka } = telemetry;
  if (telemetry.transport === 'otlp') {
    return createOtlpHttpExporter({ ...otlp, tls: otlp.tls && readTlsFiles(otlp.tls) });
  }
  // Loaded only where it is used: a proxy over OTLP needs no Kafka client in memory.
  const { createKafkaClient } = await import('../transport/kafka/kafka-client.ts');
  const { createKafkaExporter } = await import('../transport/kafka/kafka-exporter.ts');
  const { readKafkaAccess } = await import('../transport/kafka/kafka-access.ts');
  const { topic_spans: traces, topic_logs: logs, compression } = kafka;
  return createKafkaExporter({
    client: createKafkaClient({
      ...readKafkaAccess(kafka),
      compression,
      clientId: `azimuth-${name}`,
      log,
    }),
    topics: { traces, logs },
    log,
  });
}
