/**
 * The live page, left open: a snapshot of sixty edges every second, each with other numbers than the
 * one before, so that everything on the page is drawn anew. After collection neither its heap nor its
 * nodes may grow. The page is served as always, and the first snapshot is read from a store; the sixty
 * edges are made here. $AZIMUTH_PAGE_MINUTES makes it shorter.
 */
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { chromium, type Browser, type CDPSession } from 'playwright-core';
import { servePage } from '../../analytics/page.ts';
import {
  createSnapshotReader,
  type LiveEdge,
  type LiveSnapshot,
} from '../../analytics/live/snapshot.ts';
import { createHttpApp, type HttpRequest, type HttpResponse } from '../../runtime/http-app.ts';
import { directionOf, type EdgeClass } from '../../telemetry/edge-class.ts';
import { insertLedger } from '../helpers/hop-rows.ts';
import { seededRandom } from '../helpers/prng.ts';
import { startTestStore } from '../helpers/store.ts';
import { insertSpans } from '../helpers/made-rows.ts';
import { makeTrace } from '../helpers/trace-maker.ts';

const MINUTES = Number(process.env['AZIMUTH_PAGE_MINUTES'] ?? 10);
const SNAPSHOTS = Math.round(MINUTES * 60);
/** Samples of the heap, evenly over the run. */
const SAMPLES = 30;
const EDGES = 60;
const SEED = 41;
const WINDOW_MS = 300_000;
/** Growth from the second fifth of the run to the last that is code being compiled and caches. */
const GROWTH_MAX = { share: 0.05, bytes: 512 * 1024, nodes: 0.02 } as const;
/** Where Debian and others put it; $CHROMIUM names another. */
const CHROMIUM = [
  process.env['CHROMIUM'] ?? '',
  '/usr/bin/chromium',
  '/usr/bin/google-chrome',
].find((path) => path !== '' && existsSync(path));

interface Sample {
  readonly heapBytes: number;
  readonly nodes: number;
  readonly listeners: number;
}

describe('The live page, open for long', function () {
  this.timeout((MINUTES + 5) * 60_000);
  let browser: Browser;

  before(async function () {
    if (CHROMIUM === undefined) {
      assert.notEqual(process.env['CI'], 'true', 'Chromium must be installed where CI=true');
      console.log('      Chromium is not installed: the page is not tested');
      this.skip();
    }
    browser = await chromium.launch({
      executablePath: CHROMIUM,
      args: ['--no-sandbox', '--disable-gpu', '--no-first-run', '--disable-background-networking'],
    });
  });
  after(async () => {
    // Unset where the suite was skipped.
    await (browser as Browser | undefined)?.close();
  });

  it(`grows in neither heap nor nodes over ${SNAPSHOTS} snapshots of ${EDGES} edges`, async () => {
    const random = seededRandom(SEED);
    const first = await firstSnapshot();
    let sent: LiveSnapshot | undefined;
    let streams = 0;
    const open = new Set<HttpResponse>();
    const server = createHttpApp('page-growth', {
      host: '127.0.0.1',
      port: 0,
      notReady: () => undefined,
      routes(app) {
        servePage(app);
        app.get('/api/live', (_: HttpRequest, res: HttpResponse) => {
          streams += 1;
          res.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-store' });
          open.add(res);
          res.on('close', () => open.delete(res));
        });
      },
    });
    await server.start();
    try {
      const page = await browser.newPage();
      const faults: string[] = [];
      page.on('pageerror', (error) => faults.push(error.message));
      await page.goto(`http://127.0.0.1:${server.port()}`);
      const devtools = await page.context().newCDPSession(page);
      const samples: Sample[] = [];
      const tables = new Set<string>();
      for (let n = 1; n <= SNAPSHOTS; n++) {
        sent = changed(first, random);
        for (const res of open) res.write(`event: snapshot\ndata: ${JSON.stringify(sent)}\n\n`);
        await sleep(1000);
        if (n % Math.max(1, Math.floor(SNAPSHOTS / SAMPLES)) !== 0) continue;
        samples.push(await sample(devtools));
        tables.add((await page.textContent('#edge-table')) ?? '');
      }
      assert.equal(streams, 1, 'the page held one stream');
      // It drew what it was sent, to the last one.
      const label = `#picture svg[aria-label$="${EDGES} edges"]`;
      await page.waitForSelector(label);
      assert.equal(tables.size, samples.length, 'every sample saw other numbers');
      assert.deepEqual(faults, []);
      judge(samples);
      await page.close();
    } finally {
      await server.stop();
    }
  });
});

/** A snapshot as the analytics process reads it, of a store with requests. */
async function firstSnapshot(): Promise<LiveSnapshot> {
  const store = await startTestStore();
  try {
    const random = seededRandom(SEED);
    const traces = Array.from({ length: 200 }, () =>
      makeTrace(random, { topology: 'separate', depth: 2, startNs: Math.floor(random() * 100e9) }),
    );
    const nowMs = Date.now();
    const spans = traces.flatMap((trace) => trace.spans);
    await insertSpans(store.client, spans, nowMs - 120_000, Math.floor(nowMs / 1000));
    await insertLedger(store.client, { atMs: nowMs, boot: 'boot-edge', finished: 0 });
    const read = createSnapshotReader({
      store: store.client,
      retentionDays: 7,
      lastMs: WINDOW_MS,
      nowMs: () => nowMs,
    });
    const snapshot = await read();
    assert.ok(snapshot.slowest.length > 0 && snapshot.columns.cells.length > 0);
    return snapshot;
  } finally {
    await store.stop();
  }
}

/** The snapshot of a second later: the same shape, other numbers. */
function changed(first: LiveSnapshot, random: () => number): LiveSnapshot {
  const nowMs = Date.now();
  const movedMs =
    Math.floor((nowMs - Date.parse(first.at)) / first.columns.step_ms) * first.columns.step_ms;
  return {
    ...first,
    at: new Date(nowMs).toISOString(),
    edges: Array.from({ length: EDGES }, (_, i) => edge(i, random)),
    columns: {
      ...first.columns,
      cells: first.columns.cells.map(([atMs, bucket, requests, errors]) => [
        atMs + movedMs,
        bucket,
        requests + Math.floor(random() * 10),
        errors,
      ]),
    },
    slowest: first.slowest.map((line) => ({ ...line, ms: 1 + random() * 99 })),
  };
}

/** One from outside, then a gateway over services that each call one another further inside. */
function edge(index: number, random: () => number): LiveEdge {
  const [from, to, edgeClass]: [string, string, EdgeClass] =
    index === 0
      ? ['clients', 'edge', 'external_to_gateway']
      : index <= 8
        ? ['edge', `service-${index}`, 'gateway_to_workload']
        : [`service-${index - 8}`, `service-${index}`, 'workload_to_workload'];
  const legs = 1 + Math.floor(random() * 100_000);
  return {
    from,
    to,
    edge_class: edgeClass,
    direction: { split: directionOf(edgeClass, 'split'), whole: directionOf(edgeClass, 'whole') },
    legs,
    per_s: legs / (WINDOW_MS / 1000),
    errors: Math.floor(random() * 10),
    p50_ms: 1 + random() * 10,
    p99_ms: 20 + random() * 100,
    own_p50_ms: random(),
  };
}

/** What the page holds after everything that can go has gone. */
async function sample(devtools: CDPSession): Promise<Sample> {
  await devtools.send('HeapProfiler.collectGarbage');
  const { usedSize: heapBytes } = await devtools.send('Runtime.getHeapUsage');
  const { nodes, jsEventListeners: listeners } = await devtools.send('Memory.getDOMCounters');
  return { heapBytes, nodes, listeners };
}

function judge(samples: readonly Sample[]): void {
  const fifth = Math.floor(samples.length / 5);
  assert.ok(fifth > 0, `only ${samples.length} samples`);
  const [early, late] = [samples.slice(fifth, 2 * fifth), samples.slice(-fifth)];
  const median = (part: readonly Sample[], key: keyof Sample): number =>
    part.map((one) => one[key]).sort((a, b) => a - b)[Math.floor(part.length / 2)]!;
  const seen = (['heapBytes', 'nodes', 'listeners'] as const).map((key) => {
    const [before, after] = [median(early, key), median(late, key)];
    const allowed =
      key === 'heapBytes'
        ? Math.max(before * GROWTH_MAX.share, GROWTH_MAX.bytes)
        : before * GROWTH_MAX.nodes;
    return { key, before, after, grew: after - before > allowed };
  });
  const words = seen.map(({ key, before, after }) => `${key} ${before} -> ${after}`).join(', ');
  console.log(`      ${samples.length} samples: ${words}`);
  assert.ok(!seen.some(({ grew }) => grew), words);
}
