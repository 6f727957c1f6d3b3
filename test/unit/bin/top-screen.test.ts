import assert from 'node:assert/strict';
import { bucketOf } from '../../../analytics/histogram.ts';
import { emptyTraffic, type Traffic } from '../../../analytics/traffic.ts';
import { pressKey, TOP_SORTS, topScreen, type TopReading, type TopView } from '../../../bin/top-screen.ts'; // prettier-ignore

const traffic = (hops: number, ms: number, errors = 0): Traffic => ({
  ...emptyTraffic(),
  hops,
  errors,
  latency: new Map([[bucketOf(ms * 1e6), hops]]),
  own: new Map([[bucketOf(1e5), hops]]),
});

const reading = (name = '/a'): TopReading => ({
  window: { fromMs: Date.UTC(2026, 10, 25, 12, 0), toMs: Date.UTC(2026, 10, 25, 12, 1) },
  routes: {
    finalUntilMs: 0,
    cut: false,
    groups: [
      { service: 'edge', route: name, edgeClass: 'external_to_gateway', traffic: traffic(600, 4) },
      { service: 'bff', route: '/slow', edgeClass: 'gateway_to_bff', traffic: traffic(60, 400, 3) },
    ],
  },
  edges: {
    finalUntilMs: 0,
    cut: false,
    groups: [
      { caller: '', callee: 'edge', edgeClass: 'external_to_gateway', traffic: traffic(600, 4) },
      { caller: 'edge', callee: 'bff', edgeClass: 'gateway_to_bff', traffic: traffic(60, 400, 3) },
    ],
  },
});

const VIEW: TopView = { sort: 'rate', show: 'both', perspective: 'split' };
const SIZE = { width: 100, height: 30, color: false };
const rows = (view: TopView): string[] =>
  topScreen(view, reading(), SIZE).filter((line) => /^(\/|clients|edge → )/.test(line));

describe('azimuth top, screen', () => {
  it('shows routes and edges, the first by the sort', () => {
    const text = topScreen(VIEW, reading(), SIZE).join('\n');
    assert.match(text, /10\.0 requests\/s/);
    assert.match(text, /^\/a +edge +N-S +10\.0 +600 +0 % /m);
    assert.match(text, /^edge → bff +E-W +1\.0 +60 +5\.0 % /m);
    assert.match(text, /data provisional/);
    assert.ok(rows(VIEW)[0]!.startsWith('/a '));
    for (const sort of ['errors', 'p50', 'p99'] as const) {
      assert.ok(rows({ ...VIEW, sort })[0]!.startsWith('/slow '), sort);
    }
  });

  it('changes with its keys, and leaves on q and Ctrl-C', () => {
    let view: TopView | undefined = VIEW;
    for (const sort of [...TOP_SORTS.slice(1), TOP_SORTS[0]]) {
      view = pressKey(view, 's')!;
      assert.equal(view.sort, sort);
    }
    assert.deepEqual(rows(pressKey(view, 'r')!).length, 2);
    assert.ok(rows(pressKey(view, 'e')!).every((line) => line.includes('→')));
    assert.match(topScreen(pressKey(view, 'p')!, reading(), SIZE).join('\n'), /edge → bff +N-S/);
    assert.equal(pressKey(view, 'x'), view);
    assert.equal(pressKey(view, 'q'), undefined);
    assert.equal(pressKey(view, '\x03'), undefined);
  });

  it('never has more lines or longer ones than the terminal', () => {
    for (const height of [3, 6, 10, 24]) {
      for (const width of [60, 80, 120]) {
        const lines = topScreen(VIEW, reading(), { width, height, color: false });
        assert.ok(lines.length <= height, `${lines.length} of ${height}`);
        for (const line of lines) assert.ok(line.length <= width, line);
      }
    }
  });

  it('lets no route steer the terminal, and says what is wrong with the store', () => {
    const text = topScreen(VIEW, reading('/\x1b[2J'), SIZE, 'store\x07 away').join('\n');
    assert.doesNotMatch(text, /[\x1b\x07]/);
    assert.match(text, /TROUBLE: store\? away/);
  });
});
