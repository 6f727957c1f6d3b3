import assert from 'node:assert/strict';
import {
  DURATION_BOUNDS_S,
  HopMetrics,
  OWN_BOUNDS_S,
  ROWS_MAX,
} from '../../../../proxy/admin/hop-metrics.ts';
import { attemptOf, finishedHop, SHAPE } from '../../../helpers/finished-hop.ts';

const observed = (counts: readonly number[]): number => counts.reduce((a, b) => a + b, 0);
const near = (value: number, wanted: number): void =>
  assert.ok(Math.abs(value - wanted) < 1e-9, `${value} is not ${wanted}`);

describe('HopMetrics', () => {
  it('counts a hop by duration, own time and attempt, each in its bucket and in seconds', () => {
    const metrics = new HopMetrics();
    metrics.observe(metrics.row(SHAPE), finishedHop({ waitMs: 1, backoffMs: 0.5 }));
    const { duration, own, attempt_duration: attempts } = metrics.snapshot();
    assert.deepEqual(duration[0]!.labels, {
      'http.request.method': 'GET',
      'url.scheme': 'http',
      'http.route': '/products/{id}',
      'azimuth.proxy.side': 'ingress',
      'azimuth.edge_class': 'external_to_gateway',
      'azimuth.traffic.direction': 'north_south',
      'azimuth.target': 'catalog',
      'azimuth.status_class': '2xx',
    });
    assert.equal(duration.length, 1);
    assert.equal(duration[0]!.counts.length, DURATION_BOUNDS_S.length + 1);
    assert.equal(duration[0]!.counts[DURATION_BOUNDS_S.indexOf(0.01)], 1);
    near(duration[0]!.sum, 0.008);
    // 8 - 1 wait - 0.5 back-off - 5 attempt.
    assert.equal(own[0]!.counts[OWN_BOUNDS_S.indexOf(0.0025)], 1);
    near(own[0]!.sum, 0.0015);
    assert.deepEqual(attempts[0]!.labels, {
      'azimuth.target': 'catalog',
      'azimuth.status_class': '2xx',
    });
    assert.equal(attempts[0]!.counts[0], 1);
    near(attempts[0]!.sum, 0.005);
  });

  it('puts a value on a bound below it, and one past the last into +Inf', () => {
    const metrics = new HopMetrics();
    const row = metrics.row(SHAPE);
    metrics.observe(row, finishedHop({ durationMs: 5 }));
    metrics.observe(row, finishedHop({ durationMs: 60_000 }));
    const { counts } = metrics.snapshot().duration[0]!;
    assert.equal(counts[0], 1);
    assert.equal(counts.at(-1), 1);
    assert.equal(observed(counts), 2);
  });

  it('keeps statuses apart by class; no answer, and a nonsense one, have a class too', () => {
    const metrics = new HopMetrics();
    const row = metrics.row(SHAPE);
    for (const status of [0, 101, 204, 304, 404, 503, 999]) {
      metrics.observe(row, finishedHop({ status, attempts: [attemptOf(1_001, 1_002, status)] }));
    }
    const { duration, attempts } = metrics.snapshot();
    const wanted = { none: 1, '1xx': 1, '2xx': 1, '3xx': 1, '4xx': 1, '5xx': 2 };
    assert.deepEqual(
      Object.fromEntries(
        duration.map(({ labels, counts }) => [labels['azimuth.status_class'], observed(counts)]),
      ),
      wanted,
    );
    assert.deepEqual(
      Object.fromEntries(
        attempts.map(({ labels, value }) => [labels['azimuth.status_class'], value]),
      ),
      wanted,
    );
  });

  it('keeps streams and tunnels out of every histogram, and counts them and their attempts', () => {
    const metrics = new HopMetrics();
    const row = metrics.row(SHAPE);
    metrics.observe(row, finishedHop({ streamClass: 'stream', durationMs: 90_000 }));
    metrics.observe(row, finishedHop({ streamClass: 'tunnel' }));
    const snapshot = metrics.snapshot();
    assert.deepEqual([snapshot.duration, snapshot.own, snapshot.attempt_duration], [[], [], []]);
    assert.deepEqual(
      snapshot.streams.map(({ labels, value }) => [labels['azimuth.stream_class'], value]),
      [
        ['stream', 1],
        ['tunnel', 1],
      ],
    );
    assert.equal(snapshot.attempts[0]!.value, 2);
  });

  it('counts each attempt of a hop, under its own status', () => {
    const metrics = new HopMetrics();
    const attempts = [attemptOf(1_000, 1_001, 0), attemptOf(1_002, 1_004, 503), attemptOf(1_005, 1_008, 200)]; // prettier-ignore
    metrics.observe(metrics.row(SHAPE), finishedHop({ attempts }));
    assert.deepEqual(
      metrics.attempts().map(({ status_class: status, value }) => [status, value]),
      [
        ['none', 1],
        ['2xx', 1],
        ['5xx', 1],
      ],
    );
  });

  it('gives the same labels the same row, whatever else differs', () => {
    const metrics = new HopMetrics();
    const row = metrics.row(SHAPE);
    assert.equal(metrics.row({ ...SHAPE, peer: 'orders', protocolVersion: '1.0' }), row);
    assert.notEqual(metrics.row({ ...SHAPE, method: 'POST' }), row);
  });

  it('never counts below zero, nor loses a hop whose readings contradict each other', () => {
    const metrics = new HopMetrics();
    const record = finishedHop({ waitMs: 100 });
    metrics.observe(metrics.row(SHAPE), record);
    const { own } = metrics.snapshot();
    assert.equal(own[0]!.sum, 0);
    assert.equal(observed(own[0]!.counts), 1);
  });

  it('takes no more rows than it may: the rest share one that says so', () => {
    const metrics = new HopMetrics();
    const hops = ROWS_MAX * 3;
    for (let i = 0; i < hops; i++) {
      metrics.observe(metrics.row({ ...SHAPE, route: `/r${i}`, target: `t${i}` }), finishedHop());
    }
    const { duration, attempts } = metrics.snapshot();
    assert.equal(duration.length, ROWS_MAX);
    const overflow = duration.find(({ labels }) => labels['otel.metric.overflow'] === 'true')!;
    assert.equal(observed(overflow.counts), hops - (ROWS_MAX - 1));
    assert.equal(
      duration.reduce((sum, { counts }) => sum + observed(counts), 0),
      hops,
    );
    assert.equal(
      attempts.reduce((sum, { value }) => sum + value, 0),
      hops,
    );
    assert.ok(attempts.length <= ROWS_MAX);
  });

  it('gives a snapshot that survives JSON', () => {
    const metrics = new HopMetrics();
    metrics.observe(metrics.row(SHAPE), finishedHop());
    const snapshot = metrics.snapshot();
    assert.deepEqual(JSON.parse(JSON.stringify(snapshot)), snapshot);
  });
});
