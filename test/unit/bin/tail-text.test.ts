import assert from 'node:assert/strict';
import { TailText, type TailedHop } from '../../../bin/tail-text.ts';

const HOP: TailedHop = {
  worker: 0,
  time: '2026-11-25T12:00:00.123Z',
  seq: 1,
  trace_id: '0af7651916cd43dd8448eb211c80319c',
  span_id: 'b7ad6b7169203330',
  method: 'GET',
  route: '/products/{id}',
  status: 200,
  duration_ms: 8.123,
  own_ms: 0.05,
  upstream_ms: 8.07,
  client_wait_ms: 0,
  attempts: 1,
  side: 'ingress',
  edge_class: 'external_to_gateway',
  direction: 'north_south',
  peer: '',
  target: 'catalog',
  answered_by: 'upstream',
  error_type: '',
  flags: [],
  stream_class: '',
  bytes_in: 0,
  bytes_out: 0,
};

describe('TailText', () => {
  const plain = new TailText({ columns: 160, colours: false });

  it('aligns every line with its head', () => {
    const [head, line] = [plain.head(), plain.hop(HOP)];
    for (const [title, value] of [
      ['ROUTE', '/products/{id}'],
      ['TARGET', 'catalog'],
      ['EDGE', 'external_to_gateway'],
      ['TRACE', HOP.trace_id],
    ] as const) {
      assert.equal(line.indexOf(value), head.indexOf(title), title);
    }
    for (const [title, value] of [
      ['STATUS', '200'],
      ['MS', '8.12'],
      ['OWN', '0.05'],
      ['UPSTREAM', '8.07'],
    ] as const) {
      const right = head.search(new RegExp(`\\b${title}\\b`)) + title.length;
      assert.equal(line.indexOf(value) + value.length, right, title);
    }
  });

  it('cuts what is too long instead of moving the columns behind it', () => {
    const long = plain.hop({ ...HOP, route: '/a'.repeat(100), target: 't'.repeat(40) });
    assert.equal(long.indexOf(HOP.trace_id), plain.hop(HOP).indexOf(HOP.trace_id));
    assert.match(long, /…/);
  });

  it('says why a request failed', () => {
    const line = plain.hop({ ...HOP, status: 0, error_type: 'client_gone', flags: ['DC'] });
    assert.match(line, / - {2}GET/);
    assert.match(line, /client_gone DC$/);
  });

  it('uses colours only where it is told to', () => {
    const coloured = new TailText({ columns: 160, colours: true });
    const failed = { ...HOP, status: 502, error_type: 'upstream_closed' };
    assert.match(coloured.hop(failed), /^\x1b\[31m.*\x1b\[0m$/);
    assert.match(coloured.hop({ ...HOP, status: 404 }), /^\x1b\[33m/);
    assert.ok(!coloured.hop(HOP).includes('\x1b'));
    assert.ok(!(plain.head() + plain.hop(failed)).includes('\x1b'));
  });

  it('lets no text of a client steer the terminal', () => {
    assert.ok(!plain.hop({ ...HOP, path: '/\x1b[2Jgone\u009b1m' }).match(/[\x1b\x9b]/));
  });
});
