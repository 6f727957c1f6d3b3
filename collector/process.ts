/**
 * The collector as one process: receivers in front, the pipeline in the middle, the store behind.
 * OTLP/HTTP and OTLP/gRPC are always open, for ledgers, applications and other people's proxies; Kafka is read
 * when it is the mesh's transport. Never migrates the store: `azimuth store migrate` does.
 */
import type { CollectorPart } from '../mesh/parts.ts';
import { createHttpApp } from '../runtime/http-app.ts';
import { Lifecycle, type Part } from '../runtime/lifecycle.ts';
import type { Log } from '../runtime/log.ts';
import { createStoreClient, type StoreClient } from '../store/client.ts';
import { readKafkaAccess } from '../transport/kafka/kafka-access.ts';
import { createKafkaReceiver } from './kafka-receiver.ts';
import { METRICS_CONTENT_TYPE } from '../runtime/metrics-text.ts';
import { collectorMetrics } from './metrics.ts';
import { createOtlpGrpcReceiver } from './otlp-grpc-receiver.ts';
import { createOtlpHttpReceiver } from './otlp-http-receiver.ts';
import type { OtlpReceiver } from './otlp-request.ts';
import { createPipeline, type Pipeline } from './pipeline.ts';

/** A full batch: the engine's cost per row is near its least. */
const ROWS_MAX = 50_000;
/** Adds at most this to an exporter's wait, and makes at most ten inserts a second. */
const BATCH_INTERVAL_MS = 100;
/** Keeps the process at some 400 MB (measured) while the store is frozen and 40 senders go on. */
const BYTES_IN_FLIGHT_MAX = 64 * 1024 * 1024;
/** Below the 10 s after which OTLP exporters give up on an answer. */
const STORE_TIMEOUT_MS = 8_000;
const PING_INTERVAL_MS = 2_000;

export interface CollectorProcess {
  readonly lifecycle: Lifecycle;
  readonly pipeline: Pipeline;
  readonly otlpHttp: OtlpReceiver;
  readonly otlpGrpc: OtlpReceiver;
  adminPort(): number;
  /** Why this process should be started again; undefined while it is healthy. */
  unhealthy(): string | undefined;
}

/** Composes a collector; `lifecycle.start()` opens its ports. */
export function createCollector(part: CollectorPart, log: Log): CollectorProcess {
  const { store: storeSettings, telemetry } = part;
  const store = createStoreClient({ ...storeSettings, requestTimeoutMs: STORE_TIMEOUT_MS });
  const pipeline = createPipeline({
    store,
    log,
    rowsMax: ROWS_MAX,
    batchIntervalMs: BATCH_INTERVAL_MS,
    bytesInFlightMax: BYTES_IN_FLIGHT_MAX,
    retentionDays: storeSettings.retention_days,
    now: Date.now,
  });
  const otlpHttp = createOtlpHttpReceiver({ ...part.otlp_http, pipeline, log });
  const otlpGrpc = createOtlpGrpcReceiver({ ...part.otlp_grpc, pipeline, log });
  const kafka =
    telemetry.transport === 'kafka'
      ? createKafkaReceiver({
          ...readKafkaAccess(telemetry.kafka),
          topics: { traces: telemetry.kafka.topic_spans, logs: telemetry.kafka.topic_logs },
          groupId: part.kafka.group_id,
          pipeline,
          log,
        })
      : undefined;
  const watch = new StoreWatch(store);
  const lifecycle = new Lifecycle(log);
  const unhealthy = (): string | undefined => kafka?.unhealthy();
  const admin = createHttpApp('collector admin', {
    ...part.admin,
    notReady: () =>
      lifecycle.ready ? (watch.notReady() ?? kafka?.notReady()) : 'starting or stopping',
    unhealthy,
    routes: (app) => {
      app.get('/metrics', (_req, res) => {
        const text = collectorMetrics(pipeline.stats(), kafka?.stats());
        res.type(METRICS_CONTENT_TYPE).send(text);
      });
    },
  });
  lifecycle.add(admin).add(watch).add(pipeline).add(otlpHttp).add(otlpGrpc);
  if (kafka !== undefined) lifecycle.add(kafka);
  return { lifecycle, pipeline, otlpHttp, otlpGrpc, adminPort: () => admin.port(), unhealthy };
}

/** Knows whether the store answers, and closes the connections to it at the end. */
class StoreWatch implements Part {
  readonly name = 'store connection';
  readonly #store: StoreClient;
  #answers = false;
  #timer: NodeJS.Timeout | undefined;

  constructor(store: StoreClient) {
    this.#store = store;
  }

  notReady(): string | undefined {
    return this.#answers ? undefined : 'the store does not answer';
  }

  /** Does not wait for the store: until it is there, senders get 503. */
  start(): void {
    const look = (): void => {
      void this.#store.ping().then((answers) => {
        this.#answers = answers;
      });
    };
    look();
    this.#timer = setInterval(look, PING_INTERVAL_MS);
  }

  async stop(): Promise<void> {
    clearInterval(this.#timer);
    await this.#store.close();
  }
}
