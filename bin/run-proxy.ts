/**
 * What `azimuth gateway` and `azimuth sidecar` have in common: their part of the mesh file, the
 * exporter that it asks for, and a proxy (one process, or a primary with its workers) that runs
 * until a signal, follows its mesh file, and ends with its ledger as the last line on stderr.
 *
 *   SIGTERM, SIGINT  drain and end        SIGHUP  read mesh file and certificates now
 *   SIGUSR2          replace the workers, one at a time
 */
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { readMesh } from '../mesh/load.ts';
import type { ProxyPart } from '../mesh/part.ts';
import { proxyPart } from '../mesh/parts.ts';
import { filesOf, withFiles } from '../proxy/identity/files.ts';
import { ledgerJson } from '../proxy/ledger-json.ts';
import { createProxy, type Proxy, type RunningProxy } from '../proxy/process.ts';
import { createPrimary } from '../proxy/workers/primary.ts';
import { AzimuthError, messageOf } from '../runtime/errors.ts';
import { Lifecycle, runUntilSignal } from '../runtime/lifecycle.ts';
import { createLog, type Log } from '../runtime/log.ts';
import { readTlsFiles } from '../runtime/tls-files.ts';
import { watchFiles } from '../runtime/watch-files.ts';
import { boundYoungGeneration } from '../runtime/young-generation.ts';
import type { Ledger } from '../telemetry/ledger.ts';
import { LEDGER_EVENT } from '../telemetry/names.ts';
import type { Exporter } from '../transport/exporter.ts';
import { createOtlpHttpExporter } from '../transport/otlp-http-exporter.ts';
import { meshFromArgs } from './mesh-option.ts';
import { stateFolder } from './state-folder.ts';

const WORKER = fileURLToPath(
  new URL(
    import.meta.url.endsWith('.ts') ? './proxy-worker.ts' : './proxy-worker.js',
    import.meta.url,
  ),
);

/** Runs the proxy of one role by command line arguments; resolves with the exit code. */
export async function runProxy(
  role: 'gateway' | 'sidecar',
  args: readonly string[],
): Promise<number> {
  boundYoungGeneration();
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
  const unread = proxyPart(mesh, name, role);
  if (values.check) {
    process.stdout.write(`ok: ${role} ${name}, ${describe(unread)}\n`);
    return 0;
  }
  const part = withFiles(unread);
  const log = createLog({ fields: { process: role, name } });
  const folder = stateFolder(part, mesh.file);
  let single: Proxy | undefined;
  let proxy: RunningProxy;
  if (part.workers === 1) {
    const exporter = await createExporter(part, log);
    proxy = single = createProxy({ part, exporter, log, stateFolder: folder });
  } else proxy = createPrimary({ part, script: WORKER, stateFolder: folder, log });
  let certificates: readonly string[] = filesOf(part);
  const meshFile = watchFiles({
    // Certificates are renewed under a running proxy, and the mesh file may name others.
    files: () => [mesh.file, join(dirname(mesh.file), '.env'), ...certificates],
    onChange: () =>
      void reload(proxy, mesh.file, name, role, log).then((paths) => {
        certificates = paths ?? certificates;
      }),
    log,
  });
  process.on('SIGHUP', () => void meshFile.now());
  process.on('SIGUSR2', () => void proxy.restartWorkers());
  const exitCode = await runUntilSignal(new Lifecycle(log).add(proxy).add(meshFile), log);
  const ledger = single?.closingLedger;
  if (single !== undefined && ledger !== undefined) writeClosingLedger(name, single.bootId, ledger);
  return exitCode;
}

/**
 * Reads the mesh file and the certificates anew; whatever is wrong with them, the proxy runs on as it
 * is. Resolves with the certificates that it should watch from now on.
 */
async function reload(
  proxy: RunningProxy,
  file: string,
  name: string,
  role: 'gateway' | 'sidecar',
  log: Log,
): Promise<readonly string[] | undefined> {
  let certificates: readonly string[] | undefined;
  try {
    const { mesh, faults } = readMesh(file);
    if (mesh === undefined) {
      proxy.refuse(faults);
      return undefined;
    }
    for (const warning of mesh.warnings) log.warn(warning);
    const part = proxyPart(mesh, name, role);
    // Also when they cannot be used: then it is their next change that matters.
    certificates = filesOf(part);
    await proxy.reload(withFiles(part));
  } catch (error) {
    proxy.refuse([messageOf(error)]);
  }
  return certificates;
}

/** The last statement of a process, where it is found also when nothing else could be reached. */
export function writeClosingLedger(proxy: string, bootId: string, ledger: Ledger): void {
  const line = { event: LEDGER_EVENT, proxy, boot_id: bootId, ...ledgerJson(ledger) };
  process.stderr.write(JSON.stringify(line) + '\n');
}

function describe(part: ProxyPart): string {
  const listeners = part.listeners.map((l) => `${l.side} on ${l.host}:${l.port}`).join(', ');
  const { transport, otlp, kafka } = part.telemetry;
  const pipe = transport === 'otlp' ? `OTLP ${otlp.endpoint}` : `Kafka ${kafka.brokers.join(', ')}`;
  const processes = part.workers === 1 ? '' : `, ${part.workers} workers`;
  return `${listeners}${processes}, admin on ${part.admin.host}:${part.admin.port}, telemetry to ${pipe}`;
}

export async function createExporter({ telemetry, name }: ProxyPart, log: Log): Promise<Exporter> {
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
