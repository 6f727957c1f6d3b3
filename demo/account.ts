/**
 * Did everything arrive? Asks as a user would, by the reconciliation and the report, until every
 * proxy has said what it finished and all of it is stored, or until that can no longer be expected.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { reconcile, type Reconciliation } from '../analytics/reconcile.ts';
import { readGatewayVsMesh, type GatewayVsMesh } from '../analytics/reports/gateway-vs-mesh.ts';
import type { StoreClient } from '../store/client.ts';
import { LEDGER_INTERVAL_MS } from '../telemetry/ledger.ts';

export interface Account {
  /** All requests counted once in both perspectives, no hop unexplained, no leg lost between them. */
  readonly complete: boolean;
  readonly text: string;
  readonly figures: Readonly<Record<string, number>>;
}

/** Ledgers come each five seconds; the rest is for a collector that has just come back. */
const WITHIN_MS = 3 * LEDGER_INTERVAL_MS + 15_000;
const EVERY_MS = 500;

/**
 * Waits until hops of the window that began at `fromMs` are stored and accounted for. `sent`:
 * requests that the load sent in it; `processes`: proxies that must have spoken since its end.
 */
export async function accountFor(
  store: StoreClient,
  expected: { readonly fromMs: number; readonly sent: number; readonly processes: number },
): Promise<Account> {
  const endMs = Date.now();
  const window = { fromMs: expected.fromMs, toMs: endMs + 1 };
  for (;;) {
    const account = await reconcile(store, { fromMs: expected.fromMs, toMs: Date.now() + 1 });
    const spoken = account.boots.filter(
      (boot) => boot.last_ledger !== undefined && Date.parse(boot.last_ledger) >= endMs,
    );
    const settled = spoken.length >= expected.processes && account.totals.in_flight === 0;
    const late = Date.now() - endMs > WITHIN_MS;
    if (settled || late) {
      const split = await readGatewayVsMesh(store, window, 'split', { retentionDays: 7 });
      const whole = await readGatewayVsMesh(store, window, 'whole', { retentionDays: 7 });
      if (late || split.requests >= expected.sent) {
        return accountOf(expected.sent, account, split, whole);
      }
    }
    await sleep(EVERY_MS);
  }
}

function accountOf(
  sent: number,
  { totals }: Reconciliation,
  split: GatewayVsMesh,
  whole: GatewayVsMesh,
): Account {
  const figures = {
    requests_counted_split: split.requests,
    requests_counted_whole: whole.requests,
    legs_split: split.legs.sum,
    legs_whole: whole.legs.sum,
    hops_finished: totals.finished,
    hops_stored: totals.stored,
    dropped: totals.dropped_total,
    in_flight: totals.in_flight,
    lost_at_end: totals.lost_at_end,
    unexplained: totals.unexplained,
    rows_doubled: totals.rows_doubled,
  };
  const complete =
    split.requests === sent &&
    whole.requests === sent &&
    split.legs.sum === whole.legs.sum &&
    totals.finished === totals.stored + totals.dropped_total &&
    totals.unexplained === 0;
  return {
    complete,
    figures,
    text:
      `${totals.finished} hops finished = ${totals.stored} stored + ${totals.dropped_total} dropped, ` +
      `${totals.unexplained} unexplained; ${split.requests} requests counted (split), ` +
      `${whole.requests} (whole)`,
  };
}
