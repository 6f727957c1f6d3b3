/**
 * A gateway in a process of its own, for tests and measurements of what a proxy needs: memory, file
 * descriptors, processor. Argument: JSON of ChildSettings. Tells its ports once it listens, and
 * answers each message with its state. Real time, real sockets; hops are counted and thrown away.
 */
import { readdirSync } from 'node:fs';
import type { Cluster, ProxyPart } from '../../mesh/part.ts';
import { DEFAULT_LIMITS_PART } from '../../mesh/limits.ts';
import { createProxy } from '../../proxy/process.ts';
import { silentLog } from '../../runtime/log.ts';
import type { ChildSettings, ChildState } from './child-proxy.ts';
import { boundYoungGeneration } from '../../runtime/young-generation.ts';

boundYoungGeneration();

const { upstreamPort, limits = {} } = JSON.parse(process.argv[2] ?? '{}') as ChildSettings;

const cluster: Cluster = {
  name: 'catalog',
  endpoints: [{ host: '127.0.0.1', port: upstreamPort }],
  meshed: false,
  role: 'workload',
  connect_timeout_ms: 5_000,
};
/** Takes the requests that are never answered, so that those of others have permits of their own. */
const stuck: Cluster = { ...cluster, name: 'stuck' };
const route = { hosts: [], methods: [], response_timeout_ms: 60_000, upgrades: [] };
const part: ProxyPart = {
  mesh: 'test',
  topology: 'separate',
  cluster: 'local',
  name: 'edge',
  role: 'gateway',
  generation: 1,
  admin: { host: '127.0.0.1', port: 0 },
  limits: { ...DEFAULT_LIMITS_PART, ...limits },
  workers: 1,
  telemetry: {
    transport: 'otlp',
    otlp: { endpoint: '', compression: 'none' },
    kafka: { brokers: [], topic_spans: '', topic_logs: '', compression: 'none' },
    hop_format: 'packed',
    path: 'template',
    flush_interval_ms: 200,
    queue_bytes_max: 33_554_432,
    queue_hops_max: 100_000,
    age_max_ms: 86_400_000,
    spool: { bytes_max: 0 },
  },
  listeners: [
    {
      name: 'main',
      side: 'ingress',
      host: '0.0.0.0',
      port: 0,
      mesh_only: false,
      workload: { name: 'edge', namespace: '', version: '', zone: '', role: 'gateway' },
      routes: [
        { ...route, template: '/silent', segments: ['silent'], cluster: stuck },
        { ...route, template: '/*', segments: ['**'], cluster },
      ],
    },
  ],
};

let exported = 0;
const proxy = createProxy({
  part,
  log: silentLog,
  exporter: {
    name: 'counting',
    concurrency: 1,
    send: (message) => {
      if (message.signal === 'traces') exported += message.items;
      return Promise.resolve();
    },
    close: () => Promise.resolve(),
  },
});

/** Open files of this process, or -1 where the system does not say. */
function openFiles(): number {
  try {
    return readdirSync('/proc/self/fd').length;
  } catch {
    return -1;
  }
}

function state(): ChildState {
  const ledger = proxy.ledger();
  const { user, system } = process.cpuUsage();
  return {
    openFiles: openFiles(),
    rssBytes: process.memoryUsage.rss(),
    cpuUs: user + system,
    hopsFinished: ledger.hopsFinished,
    inFlight: ledger.inFlight,
    exported,
  };
}

await proxy.start();
process.on('message', () => process.send?.(state()));
process.on('disconnect', () => process.exit(0));
process.send?.({ port: proxy.port('main'), adminPort: proxy.adminPort() });
