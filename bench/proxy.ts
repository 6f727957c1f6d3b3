/**
 * `npm run bench:proxy`: our gateway, recording every request, beside nginx, Envoy, Traefik, npm
 * http-proxy and undici with the OpenTelemetry SDK, in one run. Four parts:
 *
 *     saturation   CPU a request and requests/s, rounds of all in turn, order reversed on odd rounds
 *     fixed rate   p50 and p99 at 3,000 requests/s, likewise
 *     slow         what arrives at a collector that answers after 50 and 250 ms, under saturation
 *     away         what arrives when the collector is gone for 20 s, all at once
 *
 * Each throughput stands beside spans delivered / due, since dropping spans is fast. `--json` ends
 * with one object on one line. Method and machine: bench/README.md.
 */
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { BROWSER_HEADERS, openRate, saturate, type Headers } from './lib/load.ts';
import { allPeers, nginxConfig, type Peer, type Running } from './lib/peers.ts';
import {
  cpuUs,
  firstLine,
  freePort,
  getJson,
  listening,
  pinned,
  rssMib,
  sleep,
  start,
  startNode,
  stop,
} from './lib/processes.ts';
import { findPrograms } from './lib/scratch.ts';
import { columns, median, spread } from './lib/table.ts';

const HELP = `Usage: npm run bench:proxy -- [--quick] [--json] [--only KEYS] [--rounds N]

  --quick          one third of the time, figures less sure
  --json           end with one JSON object on one line
  --only KEYS      these peers only: azimuth, unrecorded, plain, sidecar, nginx, envoy_off,
                   envoy_traced, envoy_default, traefik, http_proxy, undici_otel
  --rounds N       counted rounds (default 4, quick 2)
  --skip PARTS     leave out rate, slow or away (comma between)

Example: npm run bench:proxy -- --only azimuth,envoy_traced --skip slow,away
`;

const { values: options } = parseArgs({
  options: {
    quick: { type: 'boolean', default: false },
    json: { type: 'boolean', default: false },
    only: { type: 'string' },
    rounds: { type: 'string' },
    skip: { type: 'string', default: '' },
    help: { type: 'boolean', default: false },
  },
});
if (options.help) {
  process.stdout.write(HELP);
  process.exit(0);
}

const CONNECTIONS = 64;
const RATE_PER_S = 3_000;
/** Of each peer while the collector is away: enough to matter, not enough to disturb each other. */
const AWAY_RATE_PER_S = 200;
const AWAY_S = 20;
const quick = options.quick;
const rounds = Number(options.rounds ?? (quick ? 2 : 4));
const sliceS = quick ? 0.7 : 1.2;
const rateS = quick ? 1 : 2;
const skipped = new Set(options.skip.split(','));

const say = (text: string): void => void process.stderr.write(`${text}\n`);
const scratch = mkdtempSync(join(tmpdir(), 'azimuth-bench-'));
process.on('exit', () => rmSync(scratch, { recursive: true, force: true }));

/** A peer that runs, with its collector and what was measured of it. */
interface Subject {
  readonly peer: Peer;
  readonly running: Running;
  readonly pid: number;
  readonly sink: { port: number; control: number };
  /** Requests answered since its start. */
  requests: number;
  perSecond: number;
  readonly cpu: number[];
  readonly cpuBrowser: number[];
  readonly rps: number[];
  readonly busy: number[];
  readonly p50: number[];
  readonly p99: number[];
  rss: number;
  readonly delivered: Partial<Record<Condition, number>>;
}
type Condition = 'healthy' | '50ms' | '250ms' | 'away';

const programs = findPrograms(say);
const h2load = 'path' in programs.h2load ? programs.h2load.path : undefined;
const upstreamPort = await startUpstream();

const wanted = options.only?.split(',');
const peers = allPeers(programs).filter((p) => wanted === undefined || wanted.includes(p.key));
const subjects: Subject[] = [];
for (const peer of peers) {
  if (peer.missing === undefined) subjects.push(await begin(peer));
  else say(`\n*** SKIPPED: ${peer.name}: ${peer.missing} ***\n`);
}
const traced = subjects.filter((s) => s.peer.spansPerRequest > 0);

// ---- the parts

async function startUpstream(): Promise<number> {
  if (!('path' in programs.nginx)) {
    return (await firstLine<{ port: number }>(startNode(1, 'lib/upstream.ts', [0]))).port;
  }
  const port = await freePort();
  const folder = join(scratch, 'upstream');
  const server = `server { listen 127.0.0.1:${port} backlog=1024; default_type text/plain; location / { return 200 "${'x'.repeat(160)}"; } }`;
  start(1, [programs.nginx.path, '-p', folder, '-c', nginxConfig(folder, server)]);
  await listening('the upstream', port);
  return port;
}

async function begin(peer: Peer): Promise<Subject> {
  const folder = join(scratch, peer.key);
  mkdirSync(folder);
  const sink = await firstLine<Subject['sink']>(startNode(1, 'lib/span-sink.ts', []));
  const running = await peer.run({ upstreamPort, collectorPort: sink.port, folder });
  const { pid } = running.child;
  if (pid === undefined) throw new Error(`${peer.name} did not start`);
  say(`started ${peer.name}`);
  return {
    peer,
    running,
    pid,
    sink,
    requests: 0,
    perSecond: 0,
    cpu: [],
    cpuBrowser: [],
    rps: [],
    busy: [],
    p50: [],
    p99: [],
    rss: 0,
    delivered: {},
  };
}

interface Slice {
  readonly cpuUs: number;
  readonly perSecond: number;
  /** Share of its core that the proxy had: below 0.95 it was not the limit. */
  readonly busy: number;
}

async function slice(subject: Subject, requests: number, headers: Headers = {}): Promise<Slice> {
  const before = cpuUs([subject.pid]);
  const load = await saturate(h2load, subject.running.port, CONNECTIONS, requests, headers);
  const during = cpuUs([subject.pid]) - before;
  subject.requests += requests;
  // What is still to be exported belongs to these requests: wait until most of it has left.
  await sleep(300);
  subject.perSecond = requests / load.seconds;
  return {
    cpuUs: (cpuUs([subject.pid]) - before) / requests,
    perSecond: subject.perSecond,
    busy: during / 1e6 / load.seconds,
  };
}

const inTurn = (round: number, all: readonly Subject[]): readonly Subject[] =>
  round % 2 === 0 ? all : [...all].reverse();

/** Requests that fill `seconds` of a subject, by what it did last. */
const filling = (subject: Subject, seconds: number): number =>
  Math.max(2_000, Math.round(subject.perSecond * seconds));

async function saturation(): Promise<void> {
  say('saturation: warming up');
  for (const subject of subjects) await slice(subject, 6_000);
  for (const subject of subjects) await slice(subject, filling(subject, 1));
  for (let round = 1; round <= rounds; round++) {
    for (const subject of inTurn(round, subjects)) {
      const got = await slice(subject, filling(subject, sliceS));
      subject.cpu.push(got.cpuUs);
      subject.rps.push(got.perSecond);
      subject.busy.push(got.busy);
      if (subject.peer.key === 'azimuth' || subject.peer.key === 'envoy_traced') {
        const browser = await slice(subject, filling(subject, sliceS / 2), BROWSER_HEADERS);
        subject.cpuBrowser.push(browser.cpuUs);
      }
    }
    const so = subjects.map((s) => `${s.peer.key} ${s.cpu.at(-1)?.toFixed(1) ?? ''}`).join(', ');
    say(`saturation: round ${round} of ${rounds}, CPU us/request: ${so}`);
  }
  for (const subject of subjects) subject.rss = rssMib([subject.pid]);
}

async function fixedRate(): Promise<void> {
  for (let round = 1; round <= rounds; round++) {
    for (const subject of inTurn(round, subjects)) {
      if (['unrecorded', 'plain', 'sidecar'].includes(subject.peer.key)) continue;
      const got = await openRate(subject.running.port, CONNECTIONS, RATE_PER_S, rateS);
      subject.requests += got.requests;
      subject.p50.push(got.p50Ms);
      subject.p99.push(got.p99Ms);
    }
    const so = subjects.filter((s) => s.p99.length > 0);
    say(
      `fixed rate: round ${round} of ${rounds}, p99 ms: ${so.map((s) => `${s.peer.key} ${s.p99.at(-1)?.toFixed(2) ?? ''}`).join(', ')}`,
    );
  }
}

const spansAt = async (subject: Subject): Promise<number> =>
  (await getJson<{ spans: number }>(subject.sink.control, '/count')).spans;

/** Waits until nothing has arrived for a while: longer than anybody's retry pauses. */
async function settle(all: readonly Subject[], quietS = 2, mostS = 30): Promise<void> {
  const end = Date.now() + mostS * 1000;
  let before = '';
  let quietSince = Date.now();
  while (Date.now() < end && Date.now() - quietSince < quietS * 1000) {
    await sleep(200);
    const now = (await Promise.all(all.map(spansAt))).join();
    if (now !== before) quietSince = Date.now();
    before = now;
  }
}

/** Requests and spans at the end of the part before, by subject. */
const seen = new Map<Subject, { requests: number; spans: number }>();

/** Books what arrived since the last call. */
async function judge(condition: Condition, all: readonly Subject[]): Promise<void> {
  for (const subject of all) {
    const spans = await spansAt(subject);
    const before = seen.get(subject) ?? { requests: 0, spans: 0 };
    const due = (subject.requests - before.requests) * subject.peer.spansPerRequest;
    subject.delivered[condition] = (spans - before.spans) / due;
    seen.set(subject, { requests: subject.requests, spans });
  }
  const so = all.map((s) => `${s.peer.key} ${s.delivered[condition]?.toFixed(4) ?? ''}`);
  say(`collector ${condition}: delivered ${so.join(', ')}`);
}

/** Control of a subject's collector. */
const tell = (subject: Subject, word: string): Promise<unknown> =>
  getJson(subject.sink.control, `/${word}`);

async function slow(ms: 50 | 250): Promise<void> {
  say(`collector answering in ${ms} ms, under saturation`);
  await Promise.all(traced.map((subject) => tell(subject, `delay/${ms}`)));
  for (const subject of traced) await slice(subject, filling(subject, 2));
  await settle(traced, 3);
  await judge(`${ms}ms`, traced);
  await Promise.all(traced.map((subject) => tell(subject, 'delay/0')));
}

async function away(): Promise<void> {
  say(`collector away for ${AWAY_S} s, ${AWAY_RATE_PER_S} requests/s each, all at once`);
  await Promise.all(traced.map((subject) => tell(subject, 'away')));
  const loads = traced.map(async (subject) => {
    const { port } = subject.running;
    // Four seconds more, at the collector that is back: those are due too.
    const got = await openRate(port, CONNECTIONS, AWAY_RATE_PER_S, AWAY_S + 4);
    subject.requests += got.requests;
  });
  await sleep(AWAY_S * 1000);
  await Promise.all(traced.map((subject) => tell(subject, 'back')));
  await Promise.all(loads);
  await settle(traced, 8);
  await judge('away', traced);
}

// ---- what came of it

/** Hops of ours that neither arrived nor stand in the ledger as dropped, by reason. */
async function unaccounted(subject: Subject): Promise<number | null> {
  if (subject.running.ledger === undefined || subject.peer.spansPerRequest === 0) return null;
  const ledger = await subject.running.ledger();
  const dropped = Object.values(ledger.dropped).reduce((sum, count) => sum + count, 0);
  const arrived = (await spansAt(subject)) / subject.peer.spansPerRequest;
  return subject.requests - arrived - dropped;
}

async function report(): Promise<void> {
  const of = (key: string): Subject | undefined => subjects.find((s) => s.peer.key === key);
  const ours = of('azimuth');
  const share = (s: Subject, condition: Condition): string =>
    s.peer.spansPerRequest === 0 ? '-' : (s.delivered[condition]?.toFixed(4) ?? '');
  const missing: Record<string, number | null> = {};
  for (const s of traced) missing[s.peer.key] = await unaccounted(s);

  const machine = `${cpus()[0]?.model ?? 'unknown processor'}, ${cpus().length} cores; Node ${process.versions.node}`;
  const title = (text: string): string => `\n${text}\n`;
  const text =
    title(`Saturation: ${CONNECTIONS} connections, medians [min-max] of ${rounds} rounds`) +
    columns([
      ['', 'CPU us/request', 'requests/s', 'core used', 'RSS MiB'],
      ...subjects.map((s) => [
        s.peer.name,
        spread(s.cpu, 1),
        spread(s.rps, 0),
        median(s.busy).toFixed(2),
        s.rss.toFixed(0),
      ]),
    ]) +
    title(`Open loop, ${RATE_PER_S} requests/s`) +
    columns([
      ['', 'p50 ms', 'p99 ms'],
      ...subjects
        .filter((s) => s.p99.length > 0)
        .map((s) => [s.peer.name, spread(s.p50, 2), spread(s.p99, 2)]),
    ]) +
    title('Spans delivered / due') +
    columns([
      ['', 'healthy', '50 ms', '250 ms', `away ${AWAY_S} s`, 'neither arrived nor counted'],
      ...traced.map((s) => [
        s.peer.name,
        share(s, 'healthy'),
        share(s, '50ms'),
        share(s, '250ms'),
        share(s, 'away'),
        missing[s.peer.key] === null ? 'says nothing' : String(missing[s.peer.key]),
      ]),
    ]) +
    `\n${machine}; ${pinned ? 'proxy on core 0, the rest on core 1' : 'not pinned to cores'}; ` +
    `load by ${h2load === undefined ? 'our own loop' : 'h2load'}, upstream ${'path' in programs.nginx ? 'nginx' : 'node:net'}\n`;
  process.stdout.write(text);

  const ratio = (a: readonly number[] | undefined, b: readonly number[] | undefined) =>
    a === undefined || b === undefined || a.length === 0 || b.length === 0
      ? null
      : rounded(median(a) / median(b));
  const figure = (list: readonly number[] | undefined): number | null =>
    list === undefined || list.length === 0 ? null : rounded(median(list));
  const others = allPeers(programs).filter((p) => p.key !== 'azimuth');
  const cpuRatios = Object.fromEntries(
    others.map((p) => [`cpu_vs_${p.key}`, ratio(ours?.cpu, of(p.key)?.cpu)]),
  );
  const paired = (ours?.cpu ?? []).map((cpu, i) => cpu - (of('unrecorded')?.cpu[i] ?? NaN));
  const share0 = (condition: Condition): number | null => ours?.delivered[condition] ?? null;
  const result = {
    cpu_us: figure(ours?.cpu),
    cpu_us_browser: figure(ours?.cpuBrowser),
    recording_cpu_us: paired.some(Number.isNaN) ? null : figure(paired),
    ...cpuRatios,
    cpu_vs_envoy_traced_browser: ratio(ours?.cpuBrowser, of('envoy_traced')?.cpuBrowser),
    rps: figure(ours?.rps),
    rps_vs_envoy_traced: ratio(ours?.rps, of('envoy_traced')?.rps),
    rps_vs_traefik: ratio(ours?.rps, of('traefik')?.rps),
    rps_vs_undici_otel: ratio(ours?.rps, of('undici_otel')?.rps),
    p50_ms: figure(ours?.p50),
    p99_ms: figure(ours?.p99),
    // The goal names Envoy with its tracing defaults: its larger batches make a longer tail.
    p99_vs_envoy_traced: ratio(ours?.p99, of('envoy_default')?.p99),
    p99_vs_envoy_traced_512: ratio(ours?.p99, of('envoy_traced')?.p99),
    rss_mib: ours === undefined ? null : rounded(ours.rss),
    rss_mib_sidecar: rounded(of('sidecar')?.rss ?? NaN),
    rss_mib_envoy_traced: rounded(of('envoy_traced')?.rss ?? NaN),
    cpu_two_workers_vs_one: null,
    delivered: share0('healthy'),
    delivered_50ms: share0('50ms'),
    delivered_250ms: share0('250ms'),
    delivered_away: share0('away'),
    unaccounted: ours === undefined ? null : missing[ours.peer.key],
    peers_delivered: Object.fromEntries(traced.map((s) => [s.peer.key, s.delivered])),
    peers_cpu_us: Object.fromEntries(subjects.map((s) => [s.peer.key, figure(s.cpu)])),
    peers_rps: Object.fromEntries(subjects.map((s) => [s.peer.key, figure(s.rps)])),
    peers_p99_ms: Object.fromEntries(subjects.map((s) => [s.peer.key, figure(s.p99)])),
    peers_rss_mib: Object.fromEntries(subjects.map((s) => [s.peer.key, rounded(s.rss)])),
  };
  if (options.json) console.log(JSON.stringify(result));
}

/** Four digits that matter; JSON has no NaN. */
function rounded(value: number): number | null {
  return Number.isNaN(value) ? null : Number(value.toPrecision(4));
}

// ---- the run, at the end: all that it uses stands above

await saturation();
if (!skipped.has('rate')) await fixedRate();
await settle(traced);
await judge('healthy', traced);
for (const ms of [50, 250] as const) if (!skipped.has('slow')) await slow(ms);
if (!skipped.has('away')) await away();
await report();
await Promise.all(subjects.map((s) => stop(s.running.child)));
process.exit(0);
