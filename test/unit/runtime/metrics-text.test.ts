import assert from 'node:assert/strict';
import { MetricsText } from '../../../runtime/metrics-text.ts';

describe('MetricsText', () => {
  it('names a metric as Prometheus names one of OpenTelemetry', () => {
    const text = new MetricsText()
      .counter('azimuth.hops', '{hop}', 'Hops finished.', 7)
      .gauge('process.memory.usage', 'By', 'Resident memory.', 4096)
      .toString();
    assert.equal(
      text,
      '# HELP azimuth_hops_total Hops finished.\n# TYPE azimuth_hops_total counter\n' +
        'azimuth_hops_total 7\n' +
        '# HELP process_memory_usage_bytes Resident memory.\n' +
        '# TYPE process_memory_usage_bytes gauge\nprocess_memory_usage_bytes 4096\n',
    );
  });

  it('writes a histogram with cumulative buckets, its sum and its count', () => {
    const text = new MetricsText()
      .histogram(
        'http.server.request.duration',
        's',
        'Duration.',
        [0.1, 1],
        [{ labels: { 'http.route': '/a' }, counts: [2, 3, 4], sum: 12.5 }],
      )
      .toString();
    assert.deepEqual(text.trimEnd().split('\n').slice(2), [
      'http_server_request_duration_seconds_bucket{http_route="/a",le="0.1"} 2',
      'http_server_request_duration_seconds_bucket{http_route="/a",le="1"} 5',
      'http_server_request_duration_seconds_bucket{http_route="/a",le="+Inf"} 9',
      'http_server_request_duration_seconds_sum{http_route="/a"} 12.5',
      'http_server_request_duration_seconds_count{http_route="/a"} 9',
    ]);
  });

  it('keeps a hostile label value inside its quotes, on its line, and in UTF-8', () => {
    const value = 'a"} 1\nup 1\\\ud800';
    const text = new MetricsText()
      .gauge('x', '1', 'two\nlines', [{ labels: { value }, value: NaN }])
      .toString();
    assert.deepEqual(text.trimEnd().split('\n'), [
      '# HELP x two\\nlines',
      '# TYPE x gauge',
      'x{value="a\\"} 1\\nup 1\\\\\ufffd"} NaN',
    ]);
  });
});
