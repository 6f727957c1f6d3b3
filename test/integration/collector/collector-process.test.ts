import { SpanKind } from '@opentelemetry/api';
import { OTLPTraceExporter as JsonExporter } from '@opentelemetry/exporter-trace-otlp-http';
import { OTLPTraceExporter as ProtobufExporter } from '@opentelemetry/exporter-trace-otlp-proto';
import { resourceFromAttributes } from '@opentelemetry/resources';
import { SimpleSpanProcessor, TracerProvider } from '@opentelemetry/sdk-trace';
import assert from 'node:assert/strict';
import { createCollector, type CollectorProcess } from '../../../collector/process.ts';
import { silentLog } from '../../../runtime/log.ts';
import { startTestStore, type TestStore } from '../../helpers/store.ts';
import { tracesOf } from '../../helpers/otlp-proto.ts';
import { until } from '../../helpers/until.ts';

const HOSTILE = '\n\nDROP TABLE spans';

describe('Collector process', function () {
  this.timeout(60_000);
  let store: TestStore;
  let collector: CollectorProcess;
  let base: string;
  let admin: string;

  before(async () => {
    store = await startTestStore();
    const { url, database, user, password } = store;
    collector = createCollector(
      {
        otlp_http: { host: '127.0.0.1', port: 0 },
        otlp_grpc: { host: '127.0.0.1', port: 0 },
        admin: { host: '127.0.0.1', port: 0 },
        kafka: { group_id: 'unused' },
        store: { url, database, user, password, retention_days: 7 },
        telemetry: {
          transport: 'otlp',
          otlp: { endpoint: '', compression: 'none' },
          kafka: { brokers: [], topic_spans: '', topic_logs: '', compression: 'none' },
          hop_format: 'packed',
          path: 'template',
          flush_interval_ms: 200,
          queue_bytes_max: 1,
          queue_hops_max: 1,
          age_max_ms: 86_400_000,
          spool: { bytes_max: 0 },
        },
      },
      silentLog,
    );
    await collector.lifecycle.start();
    base = `http://127.0.0.1:${collector.otlpHttp.port()}`;
    admin = `http://127.0.0.1:${collector.adminPort()}`;
  });
  after(async () => {
    await collector.lifecycle.stop();
    await store.stop();
  });

  const count = async (where: string): Promise<number> => {
    const [row] = await store.client.query<{ n: number }>(
      `SELECT uniqExact(TraceId, SpanId) AS n FROM spans WHERE ${where}`,
    );
    return row!.n;
  };
  const post = (body: Buffer): Promise<Response> =>
    fetch(`${base}/v1/traces`, {
      method: 'POST',
      headers: { 'content-type': 'application/x-protobuf' },
      body: new Uint8Array(body),
    });

  for (const [name, Exporter] of [
    ['http/protobuf', ProtobufExporter],
    ['http/json', JsonExporter],
  ] as const) {
    it(`takes what the OpenTelemetry SDK sends over ${name}`, async () => {
      const exporter = new Exporter({ url: `${base}/v1/traces` });
      const provider = new TracerProvider({
        resource: resourceFromAttributes({ 'service.name': `sdk ${name}` }),
        spanProcessors: [new SimpleSpanProcessor({ exporter })],
      });
      const tracer = provider.getTracer('test', '1.0');
      for (let i = 0; i < 5; i++) {
        const span = tracer.startSpan('GET /x', { kind: SpanKind.SERVER });
        span.setAttributes({
          'http.route': '/x',
          big: 2 ** 53 - 1,
          list: ['a', 'b'],
          evil: HOSTILE,
        });
        span.addEvent('exception', { 'exception.type': 'Error' });
        span.end();
      }
      await provider.forceFlush();
      await provider.shutdown();
      const rows = await store.client.query<Record<string, unknown>>(
        'SELECT SpanName, Route, SpanAttributes, `Events.Name` AS events, ScopeName FROM spans WHERE ServiceName = {name:String}',
        { name: `sdk ${name}` },
      );
      assert.equal(rows.length, 5);
      assert.deepEqual(rows[0], {
        SpanName: 'GET /x',
        Route: '/x',
        SpanAttributes: { big: '9007199254740991', list: '["a","b"]', evil: HOSTILE },
        events: ['exception'],
        ScopeName: 'test',
      });
    });
  }

  it('answers 503 with Retry-After while the engine is away, and loses nothing of what it accepted or is sent again', async () => {
    const bodies = Array.from({ length: 40 }, (_, i) =>
      tracesOf([{ service: 'outage', name: `n${i}` }]),
    );
    let refused = 0;
    /** What an OTLP exporter does: the same bytes again until they are accepted. */
    const deliver = async (body: Buffer): Promise<void> => {
      for (;;) {
        const answer = await post(body);
        if (answer.status === 200) return;
        assert.ok([429, 503].includes(answer.status), `status ${answer.status}`);
        assert.ok(Number(answer.headers.get('retry-after')) > 0);
        refused++;
      }
    };
    await Promise.all(bodies.slice(0, 10).map(deliver));
    process.kill(store.embedded.enginePid()!, 'SIGKILL');
    await Promise.all(bodies.slice(10).map(deliver));
    assert.equal(await count("ServiceName = 'outage'"), bodies.length);
    const { insertFailures } = collector.pipeline.stats();
    assert.ok(refused + insertFailures > 0, 'the engine was never away');
  });

  it('tells its health, its readiness and its counters', async () => {
    assert.equal((await fetch(`${admin}/healthz`)).status, 200);
    await until(async () => {
      const ready = await fetch(`${admin}/readyz`);
      if (ready.status === 200) return true;
      assert.equal(await ready.text(), 'the store does not answer\n');
      return false;
    });
    const metrics = await (await fetch(`${admin}/metrics`)).text();
    assert.match(metrics, /^azimuth_collector_spans_total [1-9]/m);
    assert.match(metrics, /^azimuth_collector_in_flight_bytes 0$/m);
  });
});
