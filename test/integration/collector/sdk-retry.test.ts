import { OTLPTraceExporter as JsonExporter } from '@opentelemetry/exporter-trace-otlp-http';
import { OTLPTraceExporter as ProtobufExporter } from '@opentelemetry/exporter-trace-otlp-proto';
import { SimpleSpanProcessor, TracerProvider } from '@opentelemetry/sdk-trace';
import assert from 'node:assert/strict';
import { execFile, spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { createOtlpGrpcReceiver } from '../../../collector/otlp-grpc-receiver.ts';
import { createOtlpHttpReceiver } from '../../../collector/otlp-http-receiver.ts';
import type { OtlpReceiver, OtlpReceiverSettings } from '../../../collector/otlp-request.ts';
import { createPipeline } from '../../../collector/pipeline.ts';
import { AzimuthError } from '../../../runtime/errors.ts';
import { silentLog } from '../../../runtime/log.ts';
import { createFakeStore, storeAway } from '../../helpers/fake-store.ts';

const busy = (): AzimuthError => new AzimuthError('AZ_COLLECTOR_BUSY', 'full', { retryAfterS: 1 });

interface Arrived {
  /** Names of the spans in the store, in order of arrival. */
  readonly stored: readonly unknown[];
  /** Times that a message was handed to the pipeline. */
  readonly tries: number;
}

/** Sends to a collector that refuses twice with `status`, then takes all. */
async function refusedTwice(
  createReceiver: (settings: OtlpReceiverSettings) => OtlpReceiver,
  status: 429 | 503,
  send: (port: number) => Promise<void>,
): Promise<Arrived> {
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
  let tries = 0;
  const receiver = createReceiver({
    host: '127.0.0.1',
    port: 0,
    log: silentLog,
    pipeline: {
      accept: (messages) =>
        ++tries <= 2
          ? Promise.reject(status === 429 ? busy() : storeAway())
          : pipeline.accept(messages),
    },
  });
  await receiver.start();
  try {
    await send(receiver.port());
  } finally {
    await receiver.stop();
    await pipeline.stop();
  }
  return { stored: store.column('spans', 'SpanName'), tries };
}

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
        const arrived = await refusedTwice(createOtlpHttpReceiver, status, async (port) => {
          const url = `http://127.0.0.1:${port}/v1/traces`;
          const exporter = new Exporter({ url, timeoutMillis: 50_000 });
          const provider = new TracerProvider({
            spanProcessors: [new SimpleSpanProcessor({ exporter })],
          });
          provider.getTracer('t').startSpan('patient').end();
          await provider.forceFlush();
          await provider.shutdown();
        });
        assert.deepEqual(arrived, { stored: ['patient'], tries: 3 }, `${name} ${status}`);
      }),
    );
  });
});

const SENDER = join(import.meta.dirname, 'grpc-sender.py');
/** Debian's own interpreter as well: another `python3` may come first in PATH. */
const PYTHONS = ['python3', '/usr/bin/python3'];
const PACKAGE = 'opentelemetry-exporter-otlp-proto-grpc';

/** For a `before` hook: an interpreter that has the exporter; without one pending and loud. */
function requirePythonExporter(context: Mocha.Context): string {
  const load = ['-c', 'import opentelemetry.exporter.otlp.proto.grpc.trace_exporter'];
  const python = PYTHONS.find((one) => spawnSync(one, load, { stdio: 'ignore' }).status === 0);
  if (python !== undefined) return python;
  const reason = `Python's ${PACKAGE} is not installed (pip install ${PACKAGE})`;
  if (process.env['CI'] === 'true') throw new Error(`CI needs this: ${reason}`);
  process.stderr.write(`\n*** PENDING: ${reason} ***\n\n`);
  return context.skip();
}

/** Python's, because the JavaScript SDK's exporter for gRPC never sends again (docs/EXPORTERS.md). */
describe("The Python SDK's OTLP/gRPC exporter against a collector that cannot store now", function () {
  this.timeout(120_000);
  let python: string;

  before(function () {
    python = requirePythonExporter(this);
  });

  // Both are UNAVAILABLE with RetryInfo in gRPC.
  for (const [what, status] of [
    ['is full', 429],
    ['cannot reach its store', 503],
  ] as const)
    it(`delivers each span once after a collector that ${what} takes them again`, async () => {
      const names = ['first', 'second', 'third'];
      const arrived = await refusedTwice(createOtlpGrpcReceiver, status, async (port) => {
        const args = [SENDER, `http://127.0.0.1:${port}`, ...names];
        await promisify(execFile)(python, args, { timeout: 100_000 });
      });
      assert.deepEqual(arrived, { stored: names, tries: 3 });
    });
});
