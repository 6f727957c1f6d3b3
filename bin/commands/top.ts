/**
 * `azimuth top`: routes and edges, live. Reads the store as the reports do, about once a second, and
 * draws over the last reading; in a pipe it prints one block after the other. A store that is away is
 * said on the screen, and the next reading is tried. Changes nothing.
 */
import { parseArgs } from 'node:util';
import { readEdges, readRoutes } from '../../analytics/traffic.ts';
import { parseDurationMs } from '../../analytics/window.ts';
import { storePart } from '../../mesh/parts.ts';
import { AzimuthError, messageOf } from '../../runtime/errors.ts';
import { createStoreClient, type StoreClient } from '../../store/client.ts';
import type { Command } from '../command.ts';
import { meshFromArgs } from '../mesh-option.ts';
import { terminalOf } from '../terminal.ts';
import { pressKey, TOP_KEYS, TOP_SORTS, topScreen, type TopReading, type TopView } from '../top-screen.ts'; // prettier-ignore

/** As long a pause as readings take makes a fifth of the time go into reading, at most. */
const PAUSE_PER_READING = 4;
/** A longer window would be read anew each second for figures that hardly move. */
const LAST_MS_MAX = 3_600_000;

const ALTERNATE_SCREEN = '\x1b[?1049h\x1b[?25l';
const NORMAL_SCREEN = '\x1b[?25h\x1b[?1049l';
const HOME = '\x1b[H';
const CLEAR_LINE = '\x1b[K';
const CLEAR_BELOW = '\x1b[J';

export const command: Command = {
  help: `
Usage: azimuth top [options]

Routes and edges as they are now: rate, errors, latency, the proxies' own time.

  --last 1m       the window that ends now (default 1m, at most 1h)
  --every 1s      how often it is read (default 1s, more seldom where reading takes long)
  --sort NAME     ${TOP_SORTS.join(', ')} (default rate)
  --perspective   split or whole (default split)
  --once          print one reading and end
  --mesh FILE     which mesh file names the store

Keys: ${TOP_KEYS}
Without a terminal it prints a block a reading. * marks a p99 of fewer than 100 hops.

Examples:
  azimuth top --last 30s --sort p99
  azimuth top --once | head -20
`,
  async run(args) {
    const { values } = parseArgs({
      args: [...args],
      options: {
        last: { type: 'string', default: '1m' },
        every: { type: 'string', default: '1s' },
        sort: { type: 'string', default: 'rate' },
        perspective: { type: 'string', default: 'split' },
        once: { type: 'boolean', default: false },
        mesh: { type: 'string' },
      },
    });
    const sort = TOP_SORTS.find((known) => known === values.sort);
    if (sort === undefined) {
      throw new AzimuthError('AZ_USAGE', `--sort is one of: ${TOP_SORTS.join(', ')}`);
    }
    const { perspective } = values;
    if (perspective !== 'split' && perspective !== 'whole') {
      throw new AzimuthError('AZ_USAGE', '--perspective is one of: split, whole');
    }
    const lastMs = parseDurationMs(values.last);
    if (lastMs > LAST_MS_MAX) throw new AzimuthError('AZ_USAGE', '--last is at most 1h here');
    const everyMs = parseDurationMs(values.every);
    const store = createStoreClient(storePart(meshFromArgs(values)));
    const view: TopView = { sort, perspective, show: 'both' };
    try {
      if (values.once) {
        const reading = await readOnce(store, lastMs);
        process.stdout.write(blockOf(view, reading));
      } else {
        await follow(store, view, { lastMs, everyMs });
      }
      return 0;
    } finally {
      await store.close();
    }
  },
};

async function readOnce(store: StoreClient, lastMs: number): Promise<TopReading> {
  const toMs = Math.ceil(Date.now() / 1000) * 1000;
  const window = { fromMs: toMs - lastMs, toMs };
  return { window, routes: await readRoutes(store, window), edges: await readEdges(store, window) };
}

const blockOf = (view: TopView, reading: TopReading): string =>
  topScreen(view, reading, { ...terminalOf(process.stdout, process.env), height: Infinity })
    .map((line) => `${line}\n`)
    .join('');

/** Shows readings until a key, a signal or the reader of a pipe ends it. */
async function follow(
  store: StoreClient,
  first: TopView,
  { lastMs, everyMs }: { readonly lastMs: number; readonly everyMs: number },
): Promise<void> {
  const { stdin, stdout } = process;
  const onScreen = stdout.isTTY;
  const withKeys = onScreen && stdin.isTTY;
  const ended = new AbortController();
  const end = (): void => ended.abort();
  let view = first;
  let reading: TopReading | undefined;
  let trouble: string | undefined;
  const draw = (): void => {
    if (reading === undefined || ended.signal.aborted) return;
    const lines = topScreen(
      view,
      reading,
      { ...terminalOf(stdout, process.env), height: stdout.rows },
      trouble,
    );
    stdout.write(HOME + lines.map((line) => line + CLEAR_LINE).join('\r\n') + CLEAR_BELOW);
  };
  const onKey = (keys: Buffer): void => {
    for (const key of keys.toString('latin1')) {
      const next = pressKey(view, key);
      if (next === undefined) end();
      else view = next;
    }
    draw();
  };
  process.once('SIGINT', end).once('SIGTERM', end);
  // Whoever reads our output, such as head(1), may have seen enough.
  stdout.on('error', end);
  if (onScreen) stdout.write(ALTERNATE_SCREEN);
  if (onScreen) stdout.on('resize', draw);
  if (withKeys) stdin.setRawMode(true).on('data', onKey);
  try {
    while (!ended.signal.aborted) {
      const startedMs = performance.now();
      try {
        reading = await readOnce(store, lastMs);
        trouble = undefined;
      } catch (error) {
        // Without any reading there is nothing to show: that is an answer, not a hiccup.
        if (reading === undefined) throw error;
        trouble = messageOf(error);
      }
      if (onScreen) draw();
      else if (trouble === undefined) stdout.write(`${blockOf(view, reading)}\n`);
      else process.stderr.write(`azimuth: ${trouble}\n`);
      const tookMs = performance.now() - startedMs;
      await pause(Math.max(everyMs - tookMs, PAUSE_PER_READING * tookMs), ended.signal);
    }
  } finally {
    process.off('SIGINT', end).off('SIGTERM', end);
    stdout.off('resize', draw);
    if (withKeys) stdin.off('data', onKey).setRawMode(false).pause();
    if (onScreen) stdout.write(NORMAL_SCREEN);
  }
}

/** Waits, or less when it is ended meanwhile. */
function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(done, ms);
    signal.addEventListener('abort', done, { once: true });
    function done(): void {
      clearTimeout(timer);
      signal.removeEventListener('abort', done);
      resolve();
    }
  });
}
