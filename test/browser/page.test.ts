/**
 * The live page in a real Chromium, on a store that holds requests, one that holds none, and one
 * that goes away. What is shown is held against the API of the same process.
 */
import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { gunzipSync } from 'node:zlib';
import { chromium, type Browser, type Page } from 'playwright-core';
import { createAnalyticsApi } from '../../analytics/api.ts';
import type { GatewayVsMesh } from '../../analytics/reports/gateway-vs-mesh.ts';
import type { HttpAppServer } from '../../runtime/http-app.ts';
import { insertLedger } from '../helpers/hop-rows.ts';
import { seededRandom } from '../helpers/prng.ts';
import { startTestStore, type TestStore } from '../helpers/store.ts';
import { insertSpans } from '../helpers/made-rows.ts';
import { makeTrace } from '../helpers/trace-maker.ts';

/** Where Debian and others put it; $CHROMIUM names another. */
const CHROMIUM = [
  process.env['CHROMIUM'] ?? '',
  '/usr/bin/chromium',
  '/usr/bin/google-chrome',
].find((path) => path !== '' && existsSync(path));
const ARGS = ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking']; // prettier-ignore

const AXE = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
/** Milliseconds that a condition may take on a machine that is busy. */
const PATIENCE_MS = 50_000;

describe('the live page', function () {
  this.timeout(120_000);
  let browser: Browser;
  const stores: TestStore[] = [];
  const servers: HttpAppServer[] = [];

  before(async function () {
    if (CHROMIUM === undefined) {
      assert.notEqual(process.env['CI'], 'true', 'Chromium must be installed where CI=true');
      console.log(
        '      Chromium is not installed: the page is not tested (apt-get install chromium)',
      );
      this.skip();
    }
    browser = await chromium.launch({ executablePath: CHROMIUM, args: ARGS });
  });
  after(async () => {
    for (const server of servers) await server.stop();
    for (const store of stores) await store.stop();
    // Unset where the suite was skipped.
    await (browser as Browser | undefined)?.close();
  });

  /** A store, and an analytics API on it; `fill` puts requests into it. */
  async function serve(
    fill: (store: TestStore) => Promise<void>,
  ): Promise<{ store: TestStore; url: string }> {
    const store = await startTestStore();
    stores.push(store);
    await fill(store);
    const server = createAnalyticsApi({
      host: '127.0.0.1',
      port: 0,
      store: store.client,
      retentionDays: 7,
      jobs: [],
      nowMs: () => Date.now(),
    });
    servers.push(server);
    await server.start();
    return { store, url: `http://127.0.0.1:${server.port()}` };
  }

  /** Requests of the last two minutes, with the ledger of one proxy. */
  async function requests(store: TestStore): Promise<void> {
    const random = seededRandom(8);
    const baseMs = Date.now() - 120_000;
    const traces = Array.from({ length: 200 }, () =>
      makeTrace(random, { topology: 'separate', depth: 2, startNs: Math.floor(random() * 100e9) }),
    );
    await insertSpans(store.client, traces.flatMap((t) => t.spans), baseMs, Math.floor(Date.now() / 1000)); // prettier-ignore
    await insertLedger(store.client, { atMs: Date.now(), boot: 'boot-edge', finished: 0 });
  }

  /** A page whose faults are collected. */
  async function open(url: string): Promise<{ page: Page; faults: string[] }> {
    const page = await browser.newPage();
    page.setDefaultTimeout(PATIENCE_MS);
    const faults: string[] = [];
    page.on('console', (message) => {
      if (message.type() === 'error') faults.push(message.text());
    });
    page.on('pageerror', (error) => faults.push(error.message));
    await page.goto(url);
    return { page, faults };
  }

  it('shows what the API says, and the same sum of legs in both perspectives', async () => {
    const { url } = await serve(requests);
    const { page, faults } = await open(url);
    await page.waitForSelector('#picture svg');
    const report = (await (await fetch(`${url}/api/gateway-vs-mesh?last=5m`)).json()) as GatewayVsMesh; // prettier-ignore
    assert.equal(report.requests, 200);
    const text = (selector: string): Promise<string> => page.innerText(selector);
    assert.match(await text('#cards'), /200, the same in both perspectives/);
    const sums = async (): Promise<{ northSouth: number; sum: number }> => {
      const [, northSouth, sum] =
        /^([\d.]+) N-S .* = ([\d.]+) /.exec(await text('#legs-sum')) ?? [];
      return { northSouth: Number(northSouth), sum: Number(sum) };
    };
    const split = await sums();
    assert.equal(split.sum, Number(((report.legs.sum - report.legs.loopback) / 300).toFixed(1)));
    // By keyboard, as everything on the page.
    await page.focus('input[value="split"]');
    await page.keyboard.press('ArrowLeft');
    await page.waitForFunction(() => /switching to Split/.test(document.getElementById('legs-sum')?.innerText ?? '')); // prettier-ignore
    const whole = await sums();
    assert.equal(whole.sum, split.sum);
    assert.ok(whole.northSouth > split.northSouth);
    assert.equal(await page.locator('.band').count(), 4);
    assert.deepEqual(faults, []);
    await page.close();
  });

  it('opens the waterfall of a request, with the sum of its parts', async () => {
    const { page, faults } = await open(await urlOfFilled());
    await page.locator('#requests tbody button').first().click();
    await page.waitForSelector('#waterfall .fall');
    assert.match(await page.innerText('#waterfall-body'), /gateway [\d.]+ .* = [\d.]+ ms/s);
    await page.keyboard.press('Escape');
    assert.equal(
      await page.locator('#waterfall').evaluate((d) => (d as HTMLDialogElement).open),
      false,
    );
    assert.deepEqual(faults, []);
    await page.close();
  });

  for (const theme of ['dark', 'light'] as const) {
    it(`has no serious fault by axe-core, ${theme}, on a desk and on a telephone`, async () => {
      const { page } = await open(await urlOfFilled());
      await page.emulateMedia({ colorScheme: theme });
      await page.reload();
      await page.waitForSelector('#picture svg');
      for (const width of [1280, 390]) {
        await page.setViewportSize({ width, height: 900 });
        // The page's own policy lets no script in but its own files; this one comes by the debugger.
        const faults = await page.evaluate(async (axe) => {
          // eslint-disable-next-line @typescript-eslint/no-implied-eval, @typescript-eslint/no-unsafe-call
          new Function(axe)();
          interface Found {
            id: string;
            impact: string;
            nodes: { html: string }[];
          }
          const run = (
            globalThis as unknown as { axe: { run(): Promise<{ violations: Found[] }> } }
          ).axe;
          const { violations } = await run.run();
          return violations.filter((v) => v.impact === 'serious' || v.impact === 'critical').map((v) => `${v.id}: ${v.nodes.map((n) => n.html).join(' ')}`); // prettier-ignore
        }, AXE);
        assert.deepEqual(faults, [], `${theme}, ${width} pixels`);
        const overflow = await page.evaluate(
          () => document.documentElement.scrollWidth > window.innerWidth,
        );
        assert.equal(overflow, false, `nothing sticks out at ${width} pixels`);
      }
      await page.close();
    });
  }

  it('explains an empty store', async () => {
    const { url } = await serve(() => Promise.resolve());
    const { page, faults } = await open(url);
    await page.waitForSelector('#empty:not([hidden])');
    assert.match(await page.innerText('#empty'), /No request yet/);
    assert.match(await page.innerText('#pipeline'), /no ledger has arrived/);
    assert.deepEqual(faults, []);
    await page.close();
  });

  it('says that the store went away, keeps what it showed, and recovers', async () => {
    const { url, store } = await serve(requests);
    const { page } = await open(url);
    await page.waitForSelector('#picture svg');
    const { client } = store;
    const broken = (): Promise<never> => Promise.reject(new Error('the store is away'));
    const query = client.query.bind(client);
    Object.assign(client, { query: broken });
    await page.waitForSelector('#trouble:not([hidden])');
    assert.match(await page.innerText('#trouble'), /the store is away.*Shown is the state of/s);
    assert.ok(await page.isVisible('#picture svg'));
    Object.assign(client, { query });
    await page.waitForSelector('#trouble', { state: 'hidden' });
    await page.close();
  });

  it('weighs less than 150 kB in all, and asks nobody else for anything', async () => {
    const url = await urlOfFilled();
    const { page } = await open(url);
    const asked: string[] = [];
    page.on('request', (request) => asked.push(request.url()));
    await page.reload();
    await page.waitForSelector('#picture svg');
    await page.close();
    assert.ok(asked.length > 5);
    let bytes = 0;
    for (const address of asked.filter((a) => !a.includes('/api/') && !a.startsWith('data:'))) {
      assert.ok(address.startsWith(url), address);
      const answer = await rawGet(address);
      bytes += answer.length;
      assert.ok(gunzipSync(answer).length > 0);
    }
    assert.ok(bytes < 150_000, `${bytes} bytes`);
  });

  let filled: string | undefined;
  async function urlOfFilled(): Promise<string> {
    filled ??= (await serve(requests)).url;
    return filled;
  }
});

/** The body as it travels: fetch would inflate it. */
async function rawGet(address: string): Promise<Buffer> {
  const { get } = await import('node:http');
  return new Promise((resolve, reject) => {
    get(address, { headers: { 'accept-encoding': 'gzip' } }, (res) => {
      const pieces: Buffer[] = [];
      res.on('data', (piece: Buffer) => pieces.push(piece));
      res.on('end', () => resolve(Buffer.concat(pieces)));
    }).on('error', reject);
  });
}
