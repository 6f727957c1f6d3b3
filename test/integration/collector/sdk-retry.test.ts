import { OTLPTraceExporter as JsonExporter } from '@opentelemetry/exporter-trace-otlp-http';
import { OTLPTraceExporter as ProtobufExporter } from '@opentelemetry/exporter-trace-otlp-proto';
import { SimpleSpanProcessor, TracerProvider } from '@opentelemetry/sdk-trace';
import assert from 'node:assert/strict';
import { createOtlpHttpReceiver } from '../../../collector/otlp-http-receiver.ts';
import { createPipeline } from '../../../collector/pipeline.ts';
import { AzimuthError } from '../../../runtime/errors.ts';
import { silentLog } from '../../../runtime/log.ts';
import { createFakeStore, storeAway } from '../../helpers/fake-store.ts';

const busy = (): AzimuthError => new AzimuthError('AZ_COLLECTOR_BUSY', 'full', { retryAfterS: 1 });

/** The exporters wait by themselves, as Retry-After tells them. */
describe('Exporters of the OpenTelemetry SDK against a collector that cannot store now', function () {
  this.timeout(60_000);
  const cases = [
    ['http/protobuf', ProtobufExporter, 503],
    ['http/protobuf', ProtobufExporter, 429],
    ['http/json', JsonExporter, 503],
    ['http/json', JsonExporter, 429],
  ] as const;

  it('deliver once it can, after 429 and after 503, in both encodings', async () => {
    await Promise.all(
      cases.map(async ([name, Exporter, status]) => {
        const store = createFakeStore();
        const pipeline = createPipeline({
          store: store.client,
          log: silentLog,
          rowsMax: 1000,
          batchIntervalMs: 0,
          bytesInFlightMax: 1e9,
          retentionDays: 7,
          now: Date.now,
          retryForMs: 0,
        });
        pipeline.start();
        let refusals = 0;
        const receiver = createOtlpHttpReceiver({
          host: '127.0.0.1',
          port: 0,
          log: silentLog,
          pipeline: {
            accept: (messages) =>
              refusals++ < 2
                ? Promise.reject(status === 429 ? busy() : storeAway())
                : pipeline.accept(messages),
          },
        });
        await receiver.start();
        try {
          const url = `http://127.0.0.1:${receiver.port()}/v1/traces`;
          const exporter = new Exporter({ url, timeoutMillis: 50_000 });
          const provider = new TracerProvider({
            spanProcessors: [new SimpleSpanProcessor({ exporter })],
          });
          provider.getTracer('t').startSpan('patient').end();
          await provider.forceFlush();
          await provider.shutdown();
          assert.deepEqual(store.column('spans', 'SpanName'), ['patient'], `${name} ${status}`);
          assert.equal(refusals, 3, `${name} ${status}`);
        } finally {
          await receiver.stop();
          await pipeline.stop();
        }
      }),
    );
  });
});
