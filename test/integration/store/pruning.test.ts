/**
 * What the key and the indexes of `spans` are for: a few minutes of a day, or one trace, must read
 * a small part of it, through the view otel_traces too.
 */
import assert from 'node:assert/strict';
import { startTestStore, type TestStore } from '../../helpers/store.ts';

/** Granules of 8,192 rows in one day: enough that five minutes are few of them. */
const ROWS = 400_000;

describe('the key of spans', () => {
  let store: TestStore;
  let day: string;
  let traceId: string;

  before(async function () {
    this.timeout(120_000);
    store = await startTestStore();
    const { client } = store;
    [{ day }] = (await client.query<{ day: string }>('SELECT toString(today() - 1) AS day')) as [
      { day: string },
    ];
    await client.command(
      `INSERT INTO azimuth.spans (Timestamp, TraceId, SpanId, SpanKind, ServiceName, Duration, IngestedAt)
       SELECT toDateTime64({day:Date}, 9) + number * 86400 / ${ROWS} AS at,
              lower(hex(MD5(toString(intDiv(number, 5))))), lower(hex(sipHash64(number))),
              'Server', 'catalog', 1000 + number % 1000, toDateTime(at)
       FROM numbers(${ROWS})`,
      { day },
    );
    await client.command('OPTIMIZE TABLE azimuth.spans FINAL');
    [{ traceId }] = (await client.query<{ traceId: string }>(
      `SELECT TraceId AS traceId FROM spans WHERE Timestamp >= toDateTime({at:String}) LIMIT 1`,
      { at: `${day} 12:00:00` },
    )) as [{ traceId: string }];
  });
  after(async () => {
    await store.stop();
  });

  /** Share of the granules that are read after every index was asked. */
  const shareRead = async (sql: string): Promise<number> => {
    const plan = await store.client.text(`EXPLAIN indexes = 1 ${sql}`);
    const steps = [...plan.matchAll(/Granules: (\d+)\/(\d+)/g)];
    assert.ok(steps.length > 0, plan);
    const total = Number(steps[0]![2]);
    assert.ok(total >= ROWS / 8192, plan);
    return Number(steps.at(-1)![1]) / total;
  };
  const fiveMinutes = (): string =>
    `Timestamp >= toDateTime64('${day} 12:00:00', 9) AND Timestamp < toDateTime64('${day} 12:05:00', 9)`;

  it('reads under 15 % of a day for five minutes of it, by Timestamp alone', async () => {
    const share = await shareRead(`SELECT count() FROM spans WHERE ${fiveMinutes()}`);
    assert.ok(share < 0.15, `${(share * 100).toFixed(1)} % read`);
  });

  it('does so through otel_traces', async () => {
    const share = await shareRead(
      `SELECT ServiceName, SpanAttributes FROM otel_traces WHERE ${fiveMinutes()}`,
    );
    assert.ok(share < 0.15, `${(share * 100).toFixed(1)} % read`);
  });

  it('reads under 15 % for one trace by its id without a time, through otel_traces too', async () => {
    for (const sql of [
      `SELECT * FROM spans WHERE TraceId = '${traceId}'`,
      `SELECT * FROM otel_traces WHERE TraceId = '${traceId}'`,
      `SELECT min(Start), max(End) FROM otel_traces_trace_id_ts WHERE TraceId = '${traceId}'`,
    ]) {
      const share = await shareRead(sql);
      assert.ok(share < 0.15, `${(share * 100).toFixed(1)} % read by ${sql}`);
    }
  });

  it('reads under 15 % for what was ingested in a few minutes', async () => {
    const share = await shareRead(
      `SELECT count() FROM spans WHERE IngestedAt >= toDateTime('${day} 12:00:00')
       AND IngestedAt < toDateTime('${day} 12:05:00')`,
    );
    assert.ok(share < 0.15, `${(share * 100).toFixed(1)} % read`);
  });
});
