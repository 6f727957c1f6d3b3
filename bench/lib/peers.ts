/**
 * The proxies under test, each in its best configuration: one core, keep-alive on both sides, one
 * route, no access log; and where they trace, every request. Figures behind the choices:
 * bench/README.md.
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { ourProxies } from './our-proxies.ts';
import type { Peer, Place, Running } from './peer.ts';
import { firstLine, freePort, listening, start, startNode } from './processes.ts';
import type { Found, Programs } from './scratch.ts';

/** All peers, ours first. */
export function allPeers(programs: Programs): readonly Peer[] {
  return [
    ...ourProxies(),
    external('nginx', 'nginx, records nothing', 0, programs.nginx, runNginx),
    external('envoy_off', 'Envoy, records nothing', 0, programs.envoy, envoy('off')),
    external('envoy_traced', 'Envoy, min_flush_spans 512', 2, programs.envoy, envoy('512')),
    external('envoy_default', 'Envoy, tracing defaults', 2, programs.envoy, envoy('defaults')),
    external('traefik', 'Traefik, traced', 2, programs.traefik, runTraefik),
    node('http_proxy', 'npm http-proxy, records nothing', 0, 'peers/http-proxy.ts'),
    node('undici_otel', 'undici + OpenTelemetry SDK', 2, 'peers/undici-otel.ts'),
  ];
}

function external(
  key: string,
  name: string,
  spansPerRequest: number,
  found: Found,
  run: (program: string, to: Place) => Promise<Running>,
): Peer {
  if ('missing' in found) {
    const run = (): Promise<Running> => Promise.reject(new Error(found.missing));
    return { key, name, spansPerRequest, missing: found.missing, run };
  }
  return { key, name, spansPerRequest, run: (to) => run(found.path, to) };
}

function node(key: string, name: string, spansPerRequest: number, script: string): Peer {
  return {
    key,
    name,
    spansPerRequest,
    run: async (to) => {
      const collector = spansPerRequest > 0 ? [to.collectorPort] : [];
      const child = startNode(0, script, [0, to.upstreamPort, ...collector]);
      return { child, port: (await firstLine<{ port: number }>(child)).port };
    },
  };
}

// ---- nginx

/** A server of nginx with this inside; also the upstream of all peers, where nginx is to be had. */
export function nginxConfig(folder: string, http: string): string {
  const file = join(folder, 'nginx.conf');
  mkdirSync(join(folder, 'logs'), { recursive: true });
  // `daemon` and `master_process` off: one process, whose CPU is all of it.
  writeFileSync(
    file,
    `daemon off; master_process off; worker_processes 1; pid ${folder}/nginx.pid;
error_log stderr crit;
events { worker_connections 4096; }
http {
  access_log off; tcp_nodelay on; keepalive_timeout 3600s; keepalive_requests 1000000000;
  client_body_temp_path ${folder}/a; proxy_temp_path ${folder}/b; fastcgi_temp_path ${folder}/c;
  uwsgi_temp_path ${folder}/d; scgi_temp_path ${folder}/e;
  ${http}
}
`,
  );
  return file;
}

async function runNginx(program: string, to: Place): Promise<Running> {
  const port = await freePort();
  const config = nginxConfig(
    to.folder,
    `upstream app { server 127.0.0.1:${to.upstreamPort}; keepalive 128; keepalive_requests 1000000000; }
  server { listen 127.0.0.1:${port} backlog=1024;
    location / { proxy_pass http://app; proxy_http_version 1.1; proxy_set_header Connection ""; } }`,
  );
  const child = start(0, [program, '-p', to.folder, '-c', config]);
  await listening('nginx', port);
  return { child, port };
}

// ---- Envoy

const envoy =
  (tracing: 'off' | 'defaults' | '512') =>
  async (program: string, to: Place): Promise<Running> => {
    const port = await freePort();
    const file = join(to.folder, 'envoy.json');
    writeFileSync(file, JSON.stringify(envoyConfig(tracing, port, to)));
    const options = ['--concurrency', '1', '--disable-hot-restart', '--log-level', 'critical'];
    const child = start(0, [program, '-c', file, ...options]);
    await listening('Envoy', port);
    return { child, port };
  };

function envoyConfig(tracing: 'off' | 'defaults' | '512', port: number, to: Place): unknown {
  const type = (name: string): string => `type.googleapis.com/envoy.${name}`;
  const address = (p: number): unknown => ({
    socket_address: { address: '127.0.0.1', port_value: p },
  });
  const cluster = (name: string, p: number): unknown => ({
    name,
    type: 'STATIC',
    connect_timeout: '2s',
    load_assignment: {
      cluster_name: name,
      endpoints: [{ lb_endpoints: [{ endpoint: { address: address(p) } }] }],
    },
  });
  const provider = {
    name: 'envoy.tracers.opentelemetry',
    typed_config: {
      '@type': type('config.trace.v3.OpenTelemetryConfig'),
      service_name: 'envoy',
      http_service: {
        http_uri: {
          uri: `http://127.0.0.1:${to.collectorPort}/v1/traces`,
          cluster: 'collector',
          timeout: '1s',
        },
      },
    },
  };
  const manager = {
    '@type': type('extensions.filters.network.http_connection_manager.v3.HttpConnectionManager'),
    stat_prefix: 'bench',
    ...(tracing === 'off'
      ? {}
      : { tracing: { random_sampling: { value: 100 }, spawn_upstream_span: true, provider } }),
    route_config: {
      virtual_hosts: [
        {
          name: 'all',
          domains: ['*'],
          routes: [{ match: { prefix: '/' }, route: { cluster: 'app' } }],
        },
      ],
    },
    http_filters: [
      {
        name: 'envoy.filters.http.router',
        typed_config: { '@type': type('extensions.filters.http.router.v3.Router') },
      },
    ],
  };
  const filter = {
    name: 'envoy.filters.network.http_connection_manager',
    typed_config: manager,
  };
  const runtime = {
    'tracing.opentelemetry.min_flush_spans': 512,
    'tracing.opentelemetry.flush_interval_ms': 1000,
  };
  return {
    ...(tracing === '512'
      ? { layered_runtime: { layers: [{ name: 'bench', static_layer: runtime }] } }
      : {}),
    static_resources: {
      listeners: [
        { name: 'bench', address: address(port), filter_chains: [{ filters: [filter] }] },
      ],
      clusters: [cluster('app', to.upstreamPort), cluster('collector', to.collectorPort)],
    },
  };
}

// ---- Traefik

async function runTraefik(program: string, to: Place): Promise<Running> {
  const port = await freePort();
  // JSON is YAML too.
  const routes = join(to.folder, 'routes.yaml');
  writeFileSync(
    routes,
    JSON.stringify({
      http: {
        routers: { all: { rule: 'PathPrefix(`/`)', service: 'app', entryPoints: ['web'] } },
        services: {
          app: { loadBalancer: { servers: [{ url: `http://127.0.0.1:${to.upstreamPort}` }] } },
        },
      },
    }),
  );
  const file = join(to.folder, 'traefik.yaml');
  writeFileSync(
    file,
    JSON.stringify({
      global: { checkNewVersion: false, sendAnonymousUsage: false },
      log: { level: 'ERROR' },
      entryPoints: { web: { address: `127.0.0.1:${port}` } },
      providers: { file: { filename: routes, watch: false } },
      serversTransport: { maxIdleConnsPerHost: 256 },
      tracing: {
        sampleRate: 1,
        otlp: { http: { endpoint: `http://127.0.0.1:${to.collectorPort}/v1/traces` } },
      },
    }),
  );
  const child = start(0, [program, `--configFile=${file}`], {
    GOMAXPROCS: '1',
    // With the defaults of 2,048 and 512 it delivered 48 % to a collector answering in 50 ms.
    OTEL_BSP_MAX_QUEUE_SIZE: '65536',
    OTEL_BSP_MAX_EXPORT_BATCH_SIZE: '4096',
    OTEL_BSP_SCHEDULE_DELAY: '500',
  });
  await listening('Traefik', port);
  // It listens before it has routes, and answers 404; those requests leave spans too.
  await new Promise((resolve) => setTimeout(resolve, 1_500));
  return { child, port };
}
