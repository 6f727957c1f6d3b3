/** Every alert rule's query on the real schema: what it answers when all is well, and when it is not. */
import assert from 'node:assert/strict';
import { runRollup } from '../../../analytics/jobs/rollup.ts';
import { silentLog } from '../../../runtime/log.ts';
import { readAlertRules } from '../../helpers/grafana-alerts.ts';
import { insertHops, insertLedger } from '../../helpers/hop-rows.ts';
import { startTestStore, type TestStore } from '../../helpers/store.ts';
import type { Answer } from './panel-shape.ts';

describe('every alert rule', function () {
  this.timeout(60_000);
  const rules = readAlertRules();
  let store: TestStore;

  before(async () => {
    store = await startTestStore();
  });
  beforeEach(async () => {
    for (const table of ['spans', 'ledgers', 'dead_letters', 'traffic_1m', 'builds']) {
      await store.client.command(`TRUNCATE TABLE ${table}`);
    }
  });
  after(() => store.stop());

  /** Rows by label; '' where a rule has one row only. Checks what Grafana asks of an answer. */
  async function ask(slug: string): Promise<Record<string, number>> {
    const rule = rules.find(({ uid }) => uid === `azimuth-${slug}`);
    assert.ok(rule !== undefined, `there is a rule ${slug}`);
    const text = await store.client.text(rule.data[0]!.model.rawSql!, {}, 'JSON');
    const { meta, data } = JSON.parse(text) as Answer;
    const isText = (type: string): boolean => /String/.test(type);
    const numbers = meta.filter(({ type }) => !isText(type));
    assert.equal(numbers.length, 1, `${slug} has one number a row`);
    assert.match(numbers[0]!.type, /^(Nullable\()?(U?Int|Float)\d+/, slug);
    const labels = meta.filter(({ type }) => isText(type)).map(({ name }) => name);
    const rows = data.map((row): [string, number] => [
      labels.map((name) => row[name]).join(),
      Number(row[numbers[0]!.name]),
    ]);
    assert.equal(new Set(rows.map(([label]) => label)).size, rows.length, `${slug}: labels`);
    return Object.fromEntries(rows);
  }
  const threshold = (slug: string): number => {
    const { data } = rules.find(({ uid }) => uid === `azimuth-${slug}`)!;
    const { evaluator } = data[1]!.model.conditions![0]!;
    assert.equal(evaluator.type, 'gt');
    return evaluator.params[0]!;
  };
  const fires = async (slug: string): Promise<boolean> =>
    Object.values(await ask(slug)).some((value) => value > threshold(slug));
  const publish = (atMs: number): Promise<unknown> =>
    runRollup({ store: store.client, log: silentLog, retentionDays: 7, nowMs: () => atMs });
  /** A ledger that the collector stored `agoS` before now. */
  const heardOf = (agoS: number): Promise<void> =>
    store.client.command(
      `INSERT INTO ledgers (Timestamp, Proxy, BootId, IngestedAt)
       VALUES (now64(9) - {ago:UInt32}, 'quiet', 'boot-quiet', now() - {ago:UInt32})`,
      { ago: agoS },
    );

  it('has its figure on an empty store, and then only silence fires', async () => {
    for (const { uid } of rules) {
      const slug = uid.slice('azimuth-'.length);
      assert.equal(await fires(slug), ['no-data', 'analytics-behind'].includes(slug), slug);
    }
  });

  it('fires for requests that fail and for own time that is long, by service', async () => {
    const nowMs = Date.now();
    const hop = (n: number) => ({
      n,
      // Of the minute before the one that is open: it is the newest that can be published.
      atMs: nowMs - 90_000,
      status: n % 10 === 0 ? 503 : 200,
      durationNs: 50_000_000,
      ownNs: 20_000_000,
    });
    const served = (n: number) => ({
      ...{ ...hop(n), status: 200, ownNs: 1_000_000 },
      ...({ role: 'sidecar', side: 'inbound', edgeClass: 'gateway_to_bff' } as const),
      service: 'web-bff',
    });
    await insertHops(store.client, [
      ...Array.from({ length: 100 }, (_, n) => hop(n)),
      ...Array.from({ length: 100 }, (_, n) => served(1000 + n)),
    ]);
    await publish(nowMs + 60_000);
    assert.deepEqual(await ask('error-rate'), { '': 0.1 });
    assert.equal(await fires('error-rate'), true);
    const gateway = await ask('gateway-own-time');
    assert.deepEqual(Object.keys(gateway), ['edge']);
    assert.ok(Math.abs(gateway['edge']! - 20) < 2, String(gateway['edge']));
    assert.equal(await fires('gateway-own-time'), true);
    assert.deepEqual(Object.keys(await ask('mesh-own-time')), ['web-bff']);
    assert.equal(await fires('mesh-own-time'), false);
    assert.equal(await fires('analytics-behind'), false);
  });

  it('says nothing of a share or a p99 of a handful of requests', async () => {
    const nowMs = Date.now();
    const few = Array.from({ length: 5 }, (_, n) => ({ n, atMs: nowMs - 90_000, status: 503 }));
    await insertHops(store.client, few);
    await publish(nowMs + 60_000);
    assert.deepEqual(await ask('error-rate'), { '': 0 });
    assert.deepEqual(await ask('gateway-own-time'), {});
  });

  it('fires for hops that were stored late', async () => {
    const nowS = Math.floor(Date.now() / 1000);
    const hop = (n: number, agoS: number) => ({ n, atMs: (nowS - agoS) * 1000, ingestedS: nowS });
    await insertHops(
      store.client,
      Array.from({ length: 50 }, (_, n) => hop(n, 10)),
    );
    assert.equal(await fires('lag'), false);
    await insertHops(
      store.client,
      Array.from({ length: 50 }, (_, n) => hop(100 + n, 200)),
    );
    assert.equal(await fires('lag'), true);
  });

  it('fires for hops that nothing accounts for, and for those only', async () => {
    const nowMs = Date.now();
    const ago = (minutes: number): number => nowMs - minutes * 60_000;
    const ledger = { boot: 'boot-edge', proxy: 'edge' };
    // 200 hops in between: 10 dropped, 20 wait, 30 are dead letters, 100 arrived, one of them twice.
    await insertLedger(store.client, { ...ledger, atMs: ago(15), finished: 50 });
    const dropped = { queue_full: 10 };
    await insertLedger(store.client, {
      ...ledger,
      atMs: ago(5),
      finished: 250,
      emitted: 220,
      dropped,
    });
    const hops = Array.from({ length: 100 }, (_, n) => ({ n, seq: 51 + n, atMs: ago(10) }));
    await insertHops(store.client, [...hops, hops[0]!]);
    await store.client.command(
      `INSERT INTO dead_letters (At, Reason, Items, BootIds, Seqs)
       SELECT now64(3), 'out_of_window', 30, arrayMap(n -> 'boot-edge', range(30)), range(151, 181)`,
    );
    assert.deepEqual(await ask('unexplained-hops'), { edge: 40 });
    assert.equal(await fires('unexplained-hops'), true);
    assert.deepEqual(await ask('dead-letters'), { out_of_window: 1 });
    assert.equal(await fires('dead-letters'), true);
    // They were late, not lost.
    const late = Array.from({ length: 40 }, (_, n) => ({
      n: 500 + n,
      seq: 181 + n,
      atMs: ago(10),
    }));
    await insertHops(store.client, late);
    assert.deepEqual(await ask('unexplained-hops'), { edge: 0 });
  });

  it('does not fire while a proxy is heard of, and does when all fall silent', async () => {
    await heardOf(600);
    assert.equal(await fires('no-data'), true);
    await heardOf(0);
    // The store's clock goes on: what counts is that it knows about when.
    assert.ok((await ask('no-data'))['']! < 600);
  });
});
