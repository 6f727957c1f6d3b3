/**
 * `/metrics` of a proxy: the snapshots of all its processes as one Prometheus exposition. Names and
 * units are those of OpenTelemetry's semantic conventions where there is one, else `azimuth.…`.
 *
 * Every series carries `azimuth.worker`: summed here, a counter would fall each time a worker is
 * replaced, and Prometheus would take the fall for a restart of all of them.
 */
import {
  MetricsText,
  type HistogramSample,
  type MetricSample,
} from '../../runtime/metrics-text.ts';
import type { ConfigStatusJson } from '../config-status.ts';
import type { MirrorSnapshot } from '../mirror-counts.ts';
import type { Answer } from '../workers/snapshots.ts';
import {
  DURATION_BOUNDS_S,
  OWN_BOUNDS_S,
  type CountSeries,
  type HistogramSeries,
} from './hop-metrics.ts';
import type { ListenerCluster, ProcessSnapshot } from './process-snapshot.ts';

/** What the admin application itself counts about its readers of `/hops`. */
export interface ReaderCounts {
  /** Connected now. */
  readonly readers: number;
  /** Hops that readers wanted and did not get, since the start. */
  readonly leftOut: number;
  /** Readers turned away because there were enough. */
  readonly turnedAway: number;
}

/** What the primary of several workers counts; a proxy of one process has none. */
export interface WorkerCounts {
  /** Workers that ended unasked, since the start. */
  readonly died: number;
  /** Connections closed because no worker could take them, since the start. */
  readonly refused: number;
}

type Labelled = Record<string, string | number>;

/** The whole page. A process that did not answer is `azimuth_worker_up 0` and nothing else. */
export function metricsPage(
  answers: readonly Answer<ProcessSnapshot>[],
  config: ConfigStatusJson,
  readers: ReaderCounts,
  workers: WorkerCounts | undefined,
): string {
  const up = answers.flatMap((answer) =>
    'value' in answer ? [{ worker: { 'azimuth.worker': answer.worker }, of: answer.value }] : [],
  );
  const each = (value: (of: ProcessSnapshot) => number): MetricSample[] =>
    up.map(({ worker, of }) => ({ labels: worker, value: value(of) }));
  const all = <T>(
    list: (of: ProcessSnapshot) => readonly T[],
    sample: (one: T) => { labels: Labelled; value: number }[],
  ): MetricSample[] =>
    up.flatMap(({ worker, of }) =>
      list(of)
        .flatMap(sample)
        .map(({ labels, value }) => ({ labels: { ...labels, ...worker }, value })),
    );
  const histograms = (
    list: (of: ProcessSnapshot) => readonly HistogramSeries[],
  ): HistogramSample[] =>
    up.flatMap(({ worker, of }) =>
      list(of).map(({ labels, counts, sum }) => ({
        labels: { ...labels, ...worker },
        counts,
        sum,
      })),
    );
  const counts = (list: (of: ProcessSnapshot) => readonly CountSeries[]): MetricSample[] =>
    all(list, (series) => [{ ...series }]);
  const endpoints = (
    sample: (
      endpoint: ListenerCluster['endpoints'][number],
    ) => { labels: Labelled; value: number }[],
  ): MetricSample[] =>
    all(
      ({ clusters }) => clusters,
      (cluster) =>
        cluster.endpoints.flatMap((endpoint) =>
          sample(endpoint).map(({ labels, value }) => ({
            labels: {
              ...labelsOf(cluster),
              'server.address': endpoint.host,
              'server.port': endpoint.port,
              ...labels,
            },
            value,
          })),
        ),
    );
  const mirrors = (
    sample: (mirror: MirrorSnapshot) => { labels: Labelled; value: number }[],
  ): MetricSample[] =>
    all(
      (of) => of.clusters,
      (cluster) =>
        cluster.mirror === undefined
          ? []
          : sample(cluster.mirror).map(({ labels, value }) => ({
              labels: { ...labelsOf(cluster), ...labels },
              value,
            })),
    );
  const clusters = (value: (cluster: ListenerCluster) => number): MetricSample[] =>
    all(
      (of) => of.clusters,
      (one) => [
        {
          labels: labelsOf(one),
          value: value(one),
        },
      ],
    );

  return new MetricsText()
    .histogram(
      'http.server.request.duration',
      's',
      'Duration of hops, streams and tunnels left out.',
      DURATION_BOUNDS_S,
      histograms((of) => of.hops.duration),
    )
    .histogram(
      'azimuth.hop.own_time',
      's',
      'The proxy’s own part of the duration: neither client wait, nor attempt, nor back-off.',
      OWN_BOUNDS_S,
      histograms((of) => of.hops.own),
    )
    .histogram(
      'http.client.request.duration',
      's',
      'Duration of attempts upstream, connecting included, those of streams left out.',
      DURATION_BOUNDS_S,
      histograms((of) => of.hops.attempt_duration),
    )
    .counter(
      'azimuth.attempts',
      '{attempt}',
      'Attempts upstream, those of streams included.',
      counts((of) => of.hops.attempts),
    )
    .counter(
      'azimuth.streams',
      '{hop}',
      'Hops that were streams or tunnels.',
      counts((of) => of.hops.streams),
    )
    .gauge(
      'http.server.active_requests',
      '{request}',
      'Requests in flight.',
      each((of) => of.requests_in_flight),
    )
    .counter(
      'azimuth.listener.garbage',
      '{connection}',
      'What came in and was no HTTP at all, and so is no hop.',
      all(
        (of) => of.listeners,
        ({ name, garbage }) => [{ labels: { 'azimuth.listener': name }, value: garbage }],
      ),
    )
    .gauge(
      'azimuth.listener.connections',
      '{connection}',
      'Open connections of clients that are served.',
      all(
        (of) => of.listeners,
        ({ name, connections }) => [{ labels: { 'azimuth.listener': name }, value: connections }],
      ),
    )
    .counter(
      'azimuth.listener.refusals',
      '{refusal}',
      'Requests and connections refused: a limit was met, TLS failed, or the caller may not.',
      all(
        (of) => of.listeners,
        ({ name, refused }) =>
          Object.entries(refused).map(([error, value]) => ({
            labels: { 'azimuth.listener': name, 'error.type': error },
            value,
          })),
      ),
    )
    .counter(
      'azimuth.listener.tls_handshakes',
      '{handshake}',
      'TLS handshakes completed, those of clients that were refused for their certificate included.',
      all(
        (of) => of.listeners,
        ({ name, tls }) =>
          tls === undefined
            ? []
            : [{ labels: { 'azimuth.listener': name }, value: tls.handshakes }],
      ),
    )
    .counter(
      'azimuth.listener.tls_handshake_time',
      's',
      'Time from connections to the end of their TLS handshakes, summed.',
      all(
        (of) => of.listeners,
        ({ name, tls }) =>
          tls === undefined
            ? []
            : [{ labels: { 'azimuth.listener': name }, value: tls.handshakes_s }],
      ),
    )
    .gauge(
      'azimuth.identity.not_after',
      's',
      'Unix time at which a certificate of ours ends, by file name; renew it before.',
      all(
        (of) => Object.entries(of.certificates),
        ([file, value]) => [{ labels: { 'azimuth.certificate': file }, value }],
      ),
    )
    .gauge(
      'azimuth.held',
      'By',
      'Bytes of messages held because a peer does not take them or has not sent the rest.',
      each((of) => of.held_bytes),
    )
    .gauge(
      'http.client.open_connections',
      '{connection}',
      'Connections to endpoints by state.',
      endpoints(({ connections }) =>
        (['active', 'idle', 'connecting'] as const).map((state) => ({
          labels: { 'http.connection.state': state },
          value: connections[state],
        })),
      ),
    )
    .counter(
      'azimuth.upstream.connects',
      '{connection}',
      'Connections begun.',
      endpoints((e) => [{ labels: {}, value: e.connects }]),
    )
    .counter(
      'azimuth.upstream.connect_failures',
      '{connection}',
      'Connections that never stood: refused, timed out or given up.',
      endpoints((e) => [{ labels: {}, value: e.connect_failures }]),
    )
    .counter(
      'azimuth.upstream.ejections',
      '{ejection}',
      'Times that an endpoint was taken out since it failed.',
      endpoints((e) => [{ labels: {}, value: e.ejections }]),
    )
    .gauge(
      'azimuth.upstream.endpoint.up',
      '1',
      '1 when an endpoint gets requests, 0 when it is ejected or unhealthy.',
      endpoints((e) => [{ labels: {}, value: e.state === 'up' ? 1 : 0 }]),
    )
    .gauge(
      'azimuth.upstream.active_requests',
      '{request}',
      'Requests in flight by cluster.',
      clusters((c) => c.requests_in_flight),
    )
    .counter(
      'azimuth.upstream.overflows',
      '{request}',
      'Requests turned away because the cluster had as many as it may.',
      clusters((c) => c.overflows),
    )
    .counter(
      'azimuth.mirror.sent',
      '{request}',
      'Copies of requests that were sent.',
      mirrors(({ sent }) => [{ labels: {}, value: sent }]),
    )
    .counter(
      'azimuth.mirror.skipped',
      '{request}',
      'Copies of requests that were not sent, by reason.',
      mirrors(({ skipped }) => byLabel('reason', skipped)),
    )
    .counter(
      'azimuth.mirror.failed',
      '{request}',
      'Copies of requests that were sent and got no whole answer.',
      mirrors(({ failed }) => byLabel('error.type', failed)),
    )
    .counter(
      'azimuth.hops.finished',
      '{hop}',
      'Hops recorded.',
      each((of) => of.hops_finished),
    )
    .counter(
      'otel.sdk.exporter.span.exported',
      '{span}',
      'Hops (SERVER spans) that the next in the pipeline acknowledged.',
      each((of) => of.exported),
    )
    .counter(
      'azimuth.export.dropped',
      '{hop}',
      'Hops given up, by reason.',
      all(
        (of) => Object.entries(of.dropped),
        ([reason, value]) => [{ labels: { reason }, value }],
      ),
    )
    .gauge(
      'otel.sdk.processor.span.queue.size',
      '{span}',
      'Hops waiting or in flight to the next.',
      each((of) => of.queued_hops),
    )
    .gauge(
      'azimuth.export.spooled',
      '{hop}',
      'Hops that lie on disk until the next takes them.',
      each((of) => of.spooled_hops),
    )
    .gauge(
      'azimuth.export.queue',
      'By',
      'Bytes waiting or in flight to the next.',
      each((of) => of.queued_bytes),
    )
    .counter(
      'process.cpu.time',
      's',
      'CPU time of the process.',
      all(
        (of) => [of],
        (of) => [
          { labels: { 'cpu.mode': 'user' }, value: of.cpu_user_s },
          { labels: { 'cpu.mode': 'system' }, value: of.cpu_system_s },
        ],
      ),
    )
    .gauge(
      'process.memory.usage',
      'By',
      'Resident memory.',
      each((of) => of.rss_bytes),
    )
    .gauge(
      'v8js.memory.heap.used',
      'By',
      'JavaScript heap in use.',
      each((of) => of.heap_used_bytes),
    )
    .gauge(
      'process.uptime',
      's',
      'Time since the process began.',
      each((of) => of.uptime_s),
    )
    .counter(
      'azimuth.event_loop.late',
      's',
      'Lateness of the event loop, summed over its ticks.',
      each((of) => of.loop_late_s),
    )
    .gauge(
      'azimuth.worker.up',
      '1',
      '1 when the process that carries requests answered, else 0.',
      answers.map((answer) => ({
        labels: { 'azimuth.worker': answer.worker },
        value: 'value' in answer ? 1 : 0,
      })),
    )
    .gauge(
      'azimuth.config.generation',
      '1',
      'Generation of the configuration in force.',
      config.generation,
    )
    .counter(
      'azimuth.config.reloads',
      '{reload}',
      'Reloads by outcome.',
      Object.entries(config.reloads).map(([outcome, value]) => ({ labels: { outcome }, value })),
    )
    .counter(
      'azimuth.workers.died',
      '{process}',
      'Workers that ended unasked and were replaced; no series where there is one process.',
      only(workers?.died),
    )
    .counter(
      'azimuth.workers.refused_connections',
      '{connection}',
      'Connections closed because no worker could take them; no series where there is one process.',
      only(workers?.refused),
    )
    .gauge('azimuth.hops.readers', '{reader}', 'Readers of /hops.', readers.readers)
    .counter(
      'azimuth.hops.left_out',
      '{hop}',
      'Hops that readers of /hops wanted and did not get.',
      readers.leftOut,
    )
    .counter(
      'azimuth.hops.readers_turned_away',
      '{reader}',
      'Readers of /hops turned away because there were enough.',
      readers.turnedAway,
    )
    .toString();
}

/** One series without labels, or none. */
const only = (value: number | undefined): MetricSample[] =>
  value === undefined ? [] : [{ labels: {}, value }];

/** A service may get requests and copies of a listener, by clusters of one name. */
const labelsOf = ({ listener, name, mirror }: ListenerCluster): Labelled => ({
  'azimuth.listener': listener,
  'azimuth.target': name,
  ...(mirror === undefined ? {} : { 'azimuth.mirrored': 'true' }),
});

/** One sample for each key of a count by name. */
const byLabel = (
  label: string,
  counts: Readonly<Record<string, number>>,
): { labels: Labelled; value: number }[] =>
  Object.entries(counts).map(([name, value]) => ({ labels: { [label]: name }, value }));
