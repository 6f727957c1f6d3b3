import assert from 'node:assert/strict';
import { EVENTS_PER_WINDOW, HopFeed, type FeedEvent } from '../../../../proxy/admin/hop-feed.ts';
import type { HopFilter } from '../../../../proxy/admin/hop-filter.ts';
import { finishedHop, SHAPE } from '../../../helpers/finished-hop.ts';

const ALL: HopFilter = { routes: [], statuses: [], slower_than_ms: 0, errors: false };
const feedOf = (): HopFeed => new HopFeed((monotonicMs) => 1_700_000_000_000 + monotonicMs);

/** A follower that keeps what it gets, and takes it or not. */
function follow(feed: HopFeed, filter = ALL, takes: () => boolean = () => true) {
  const events: FeedEvent[] = [];
  const stop = feed.follow(filter, (event) => {
    if (!takes()) return false;
    events.push(event as FeedEvent);
    return true;
  });
  return { events, stop };
}

describe('HopFeed', () => {
  it('listens only while somebody follows', () => {
    const feed = feedOf();
    assert.equal(feed.listening, false);
    const [first, second] = [follow(feed), follow(feed)];
    assert.equal(feed.listening, true);
    first.stop();
    first.stop();
    assert.equal(feed.listening, true);
    second.stop();
    assert.equal(feed.listening, false);
  });

  it('shows a hop with its times, its edge and what failed', () => {
    const feed = feedOf();
    const { events } = follow(feed);
    const record = finishedHop({
      seq: 7,
      flags: 1 << 4,
      errorType: 'upstream_closed',
      status: 502,
    });
    record.traceId.set([0x0af76519, 0x16cd43dd, 0x8448eb21, 0x1c80319c]);
    record.spanId.set([0xb7ad6b71, 0x69203330]);
    feed.offer(SHAPE, record);
    assert.deepEqual(events, [
      {
        left_out: 0,
        hop: {
          time: '2023-11-14T22:13:21.008Z',
          seq: 7,
          trace_id: '0af7651916cd43dd8448eb211c80319c',
          span_id: 'b7ad6b7169203330',
          method: 'GET',
          route: '/products/{id}',
          status: 502,
          duration_ms: 8,
          own_ms: 3,
          upstream_ms: 5,
          client_wait_ms: 0,
          attempts: 1,
          side: 'ingress',
          edge_class: 'external_to_gateway',
          direction: 'north_south',
          peer: '',
          target: 'catalog',
          answered_by: '',
          error_type: 'upstream_closed',
          flags: ['UC'],
          stream_class: '',
          bytes_in: 0,
          bytes_out: 0,
        },
      },
    ]);
    assert.deepEqual(JSON.parse(JSON.stringify(events)), events);
  });

  it('shows each follower what its filter takes, and no path unless it was recorded', () => {
    const feed = feedOf();
    const all = follow(feed);
    const slow = follow(feed, { ...ALL, slower_than_ms: 100 });
    feed.offer(SHAPE, finishedHop());
    feed.offer(SHAPE, finishedHop({ durationMs: 100, path: '/products/7' }));
    assert.deepEqual([all.events.length, slow.events.length], [2, 1]);
    assert.deepEqual(
      all.events.map(({ hop }) => hop.path),
      [undefined, '/products/7'],
    );
  });

  it('leaves out what is too much for one window, counts it, and goes on in the next', () => {
    const feed = feedOf();
    const { events } = follow(feed);
    for (let i = 0; i < EVENTS_PER_WINDOW + 30; i++) feed.offer(SHAPE, finishedHop());
    assert.equal(events.length, EVENTS_PER_WINDOW);
    feed.offer(SHAPE, finishedHop({ durationMs: 500 }));
    assert.equal(events.length, EVENTS_PER_WINDOW + 1);
    assert.equal(events.at(-1)!.left_out, 30);
  });

  it('counts what a follower could not take as left out', () => {
    const feed = feedOf();
    let takes = false;
    const { events } = follow(feed, ALL, () => takes);
    for (let i = 0; i < 5; i++) feed.offer(SHAPE, finishedHop());
    takes = true;
    feed.offer(SHAPE, finishedHop());
    assert.deepEqual(
      events.map(({ left_out: leftOut }) => leftOut),
      [5],
    );
  });
});
