import assert from 'node:assert/strict';
import type { BootAccount } from '../../../../analytics/boot-account.ts';
import type { Reconciliation } from '../../../../analytics/reconcile.ts';
import { reconcileText } from '../../../../analytics/reports/reconcile-text.ts';
import { assertGolden } from '../../../helpers/golden.ts';

const boot = (over: Partial<BootAccount>): BootAccount => ({
  proxy: 'edge',
  role: 'gateway',
  boot_id: '4bf92f3577b34da6',
  state: 'running',
  base_seq: 0,
  last_seq: 1236,
  last_ledger: '2026-11-25T12:05:00.000Z',
  finished: 1236,
  stored: 1236,
  rows_doubled: 0,
  dropped: {},
  dropped_total: 0,
  dropped_but_stored: 0,
  in_flight: 0,
  spooled: 0,
  lost_at_end: 0,
  unexplained: 0,
  twins: 0,
  gaps: [],
  ...over,
});

describe('reconcile, terminal form', () => {
  it('says what is well in a table and a sum', () => {
    const good = boot({});
    const result: Reconciliation = {
      boots: [good],
      totals: good,
      undecodable_messages: 0,
      deleted_by_broker: [],
      began_past_start: [],
      edges: [{ caller: 'edge', target: 'catalog', exits: 9, entries: 9, exits_unmatched: 0, entries_unmatched: 0 }], // prettier-ignore
    };
    const text = reconcileText(result, 110);
    assert.match(text, /1,236 hops finished = 1,236 stored \+ 0 dropped .* unexplained 0/);
    assert.match(text, /1 edge: every answered exit has its entry/);
  });

  it('says what is wrong, where, and how much', () => {
    const boots = [
      boot({ stored: 1200, rows_doubled: 7, dropped: { queue_full: 30 }, dropped_total: 30, unexplained: 6, gaps: [{ from_seq: 5, to_seq: 9 }, { from_seq: 44, to_seq: 44 }] }), // prettier-ignore
      boot({ proxy: 'catalog-sidecar', boot_id: 'aaaaaaaaaaaaaaaa', state: 'ended_without_closing_ledger', finished: 500, last_seq: 500, stored: 490, lost_at_end: 10, gaps: [{ from_seq: 481, to_seq: 490 }] }), // prettier-ignore
      boot({ proxy: 'stock-sidecar', boot_id: 'cccccccccccccccc', state: 'ended_without_closing_ledger', ended: { after: '2026-11-25T12:04:59.100Z', before: '2026-11-25T12:05:00.040Z' }, stored: 1233, lost_at_end: 3 }), // prettier-ignore
      boot({ proxy: 'orders-sidecar', boot_id: 'bbbbbbbbbbbbbbbb', state: 'closed', twins: 1 }),
    ];
    const text = reconcileText(
      {
        boots,
        totals: boot({ finished: 2972, stored: 2926, dropped_total: 30, lost_at_end: 10, unexplained: 6, twins: 1 }), // prettier-ignore
        undecodable_messages: 2,
        deleted_by_broker: [{ topic: 'otlp_spans', partition: 3, from_offset: 1200, to_offset: 2433, messages: 1234 }], // prettier-ignore
        began_past_start: [{ topic: 'otlp_logs', partition: 1, offset: 77 }],
        edges: [{ caller: 'edge', target: 'catalog', exits: 900, entries: 897, exits_unmatched: 3, entries_unmatched: 0 }], // prettier-ignore
      },
      110,
    );
    assertGolden('reconcile-troubled.txt', text);
  });

  it('says so when there is nothing to account for', () => {
    const text = reconcileText({ boots: [], totals: boot({ finished: 0 }), undecodable_messages: 0, deleted_by_broker: [], began_past_start: [] }, 110); // prettier-ignore
    assert.match(text, /No proxy was alive in this window/);
  });
});
