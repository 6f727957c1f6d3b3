/**
 * `npm run bench:robustness`: what a client notices while others attack. For each attack in turn:
 * the client alone, the client beside the attack from its begin on, the client alone again, at one
 * fixed rate with latency counted from the moment when a request was due. The p99 beside the attack
 * stands against the p99 alone of the same minute; that of its first second stands apart. Writes
 * bench/results/robustness.md. Method: bench/README.md.
 */
import { fork, spawnSync, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, writeFileSync } from 'node:fs';
import { Agent, request } from 'node:http';
import { cpus, loadavg } from 'node:os';
import { fileURLToPath } from 'node:url';
import { AttackedUpstream, Attackers, head } from '../test/helpers/attacks.ts';
import { ChildProxy } from '../test/helpers/child-proxy.ts';
import { uploadThrough } from '../test/helpers/large-bodies.ts';
import { benchOptions } from './lib/options.ts';

const HELP = `Usage: npm run bench:robustness -- [--seconds N] [--rate N] [--idle N] [--only TEXT]

  --seconds N   alone, before and after each attack; beside it twice as long (default 6)
  --rate N      requests a second of the client that is measured (default 500)
  --idle N      idle connections (default 8000)
  --only TEXT   attacks with this in their name; prints the report and keeps none

Examples:
  npm run bench:robustness -- --seconds 2
  npm run bench:robustness -- --only flood
`;

const options = benchOptions(HELP, {
  seconds: { type: 'string', default: '6' },
  rate: { type: 'string', default: '500' },
  idle: { type: 'string', default: '8000' },
  only: { type: 'string', default: '' },
  // Of the process that attacks: which attack, and where.
  attack: { type: 'string' },
  port: { type: 'string' },
  // Of the upstream's process.
  upstream: { type: 'boolean', default: false },
});
const seconds = Number(options.seconds);
const rate = Number(options.rate);
const idle = Number(options.idle);

interface Attack {
  readonly name: string;
  readonly begin: (port: number) => Promise<Attackers>;
}

const ATTACKS: readonly Attack[] = [
  { name: `${idle} idle connections`, begin: (port) => new Attackers(port).openAll(idle, head('/')) }, // prettier-ignore
  {
    name: '1,000 heads, a byte each 500 ms (slow-loris)',
    begin: async (port) =>
      (await new Attackers(port).openAll(1_000, 'GET / HTTP/1.1\r\nHost: a\r\nx: ')).drip('x', 500),
  },
  {
    name: '500 bodies, a byte each 500 ms',
    begin: async (port) =>
      (await new Attackers(port).openAll(500, head('/', 'POST', 'Content-Length: 100000'))).drip(
        'x',
        500,
      ),
  },
  {
    name: '20 readers of 32 MiB that take nothing',
    begin: (port) => new Attackers(port).openAll(20, head('/large'), false),
  },
  {
    name: 'flood of 100,000 header bytes, 8 at once',
    begin: (port) =>
      Promise.resolve(new Attackers(port).flood(8, head('/', 'GET', `x: ${'y'.repeat(100_000)}`))),
  },
  {
    name: 'flood of targets of 9,000 bytes, 8 at once',
    begin: (port) => Promise.resolve(new Attackers(port).flood(8, head(`/${'a'.repeat(9_000)}`))),
  },
  {
    name: '1,200 requests that are never answered (limit 1,024)',
    begin: (port) => new Attackers(port).openAll(1_200, head('/silent')),
  },
];

interface Latencies {
  readonly p99Ms: number;
  /** Of the requests that were due in the first second. */
  readonly firstP99Ms: number;
  /** Requests that were not answered 200. */
  readonly failed: number;
}

/** Latencies of `rate` requests a second over 16 connections, for so many seconds. */
async function measure(port: number, forS: number): Promise<Latencies> {
  const agent = new Agent({ keepAlive: true, maxSockets: 16 });
  const latencies: number[] = [];
  let failed = 0;
  const total = rate * forS;
  const startMs = performance.now();
  const open: Promise<void>[] = [];
  for (let i = 0; i < total; i++) {
    const dueMs = startMs + (i * 1_000) / rate;
    // Never early, which would make answers come before they are due.
    const waitMs = Math.ceil(dueMs - performance.now());
    if (waitMs > 0) await new Promise((resolve) => setTimeout(resolve, waitMs));
    open.push(
      new Promise<void>((resolve) => {
        const done = (ok: boolean): void => {
          latencies[i] = performance.now() - dueMs;
          if (!ok) failed++;
          resolve();
        };
        request({ port, host: '127.0.0.1', path: '/', agent }, (response) => {
          response.resume().on('end', () => done(response.statusCode === 200));
        })
          .on('error', () => done(false))
          .end();
      }),
    );
  }
  await Promise.all(open);
  agent.destroy();
  const p99 = (of: number[]): number =>
    of.sort((a, b) => a - b)[Math.floor(of.length * 0.99)] ?? NaN;
  return { firstP99Ms: p99(latencies.slice(0, rate)), p99Ms: p99(latencies), failed };
}

/** What an attack has come to. */
interface Outcome {
  readonly open: number;
  readonly answers: readonly (readonly [string, number])[];
}

if (options.upstream) {
  const upstream = await new AttackedUpstream().start();
  process.on('message', () => process.send?.(upstream.bodyBytes));
  process.send?.(upstream.port);
  await once(process, 'disconnect');
  process.exit(0);
}
if (options.attack !== undefined) {
  const attackers = await ATTACKS[Number(options.attack)]!.begin(Number(options.port));
  process.on('message', () => {
    process.send?.({ open: attackers.open, answers: [...attackers.answers] } satisfies Outcome);
  });
  process.send?.('begun');
  await once(process, 'disconnect');
  process.exit(0);
}
if (!ATTACKS.some(({ name }) => name.includes(options.only))) {
  const names = ATTACKS.map(({ name }) => `  ${name}\n`).join('');
  process.stderr.write(`--only: no attack has "${options.only}" in its name:\n${names}`);
  process.exit(64);
}

/** Puts a process on one of the cores; where that cannot be, all share all. */
function pin(pid: number | undefined, core: 0 | 1): void {
  if (process.platform !== 'linux' || cpus().length < 2) return;
  spawnSync('taskset', ['-a', '-cp', String(core), String(pid)]);
}

/** A process of this script in another role; resolves with its first message. */
async function startRole<T>(args: readonly string[]): Promise<[ChildProcess, T]> {
  const child = fork(fileURLToPath(import.meta.url), args, { stdio: 'inherit' });
  pin(child.pid, 1);
  return [child, ((await once(child, 'message')) as [T])[0]];
}

async function ask<T>(child: ChildProcess): Promise<T> {
  const answer = once(child, 'message') as Promise<[T]>;
  child.send({});
  return (await answer)[0];
}

async function end(child: ChildProcess): Promise<void> {
  const exited = once(child, 'exit');
  child.disconnect();
  await exited;
}

/** Runs an attack in a process of its own, on what the client and the upstream leave of their core. */
async function startAttack(index: number, port: number): Promise<ChildProcess> {
  const args = ['--attack', String(index), '--port', String(port), '--idle', String(idle)];
  const [child] = await startRole<string>(args);
  // It is the gateway that is tried, not the scheduler: never before the client that is measured.
  spawnSync('chrt', ['--idle', '-a', '-p', '0', String(child.pid)]);
  return child;
}

const [upstream, upstreamPort] = await startRole<number>(['--upstream']);
const proxy = await ChildProxy.start({
  upstreamPort,
  // All attackers have one address here.
  limits: { connections_per_client: 10_000, upstream_idle_timeout_ms: 500 },
});
pin(proxy.pid, 0);
pin(process.pid, 1);

const MB = 1_048_576;
const megabytes = (bytes: number): string => (bytes / MB).toFixed(1);
const rows: string[] = [];
await measure(proxy.port, seconds);
const first = await proxy.state();
for (const [index, { name }] of ATTACKS.entries()) {
  if (!name.includes(options.only)) continue;
  process.stderr.write(`${name}\n`);
  const before = await measure(proxy.port, seconds);
  const rssBefore = (await proxy.state()).rssBytes;
  const attack = await startAttack(index, proxy.port);
  const beside = await measure(proxy.port, 2 * seconds);
  const held = await proxy.limits();
  const rssBeside = (await proxy.state()).rssBytes;
  const { open: openAtEnd, answers: lines } = await ask<Outcome>(attack);
  const answers = lines.map(([line, count]) => `${count} x ${line.split(' ')[1] ?? 'none'}`);
  await end(attack);
  await proxy.until(({ connections }) => connections === 0);
  const after = await measure(proxy.port, seconds);
  const alone = Math.max(before.p99Ms, after.p99Ms);
  rows.push(
    `| ${name} | ${openAtEnd} | ${answers.join(', ') || '-'} | ${before.p99Ms.toFixed(2)} / ${after.p99Ms.toFixed(2)} | ` +
      `${beside.p99Ms.toFixed(2)} | **${(beside.p99Ms / alone).toFixed(2)}** | ` +
      `${beside.firstP99Ms.toFixed(2)} (${(beside.firstP99Ms / alone).toFixed(2)}) | ` +
      `${before.failed + beside.failed + after.failed} | ${megabytes(held.held_bytes)} | ${megabytes(rssBeside - rssBefore)} |`,
  );
}
process.stderr.write('a body of 1 GiB\n');
const rssBefore = (await proxy.state()).rssBytes;
const upload = await uploadThrough(proxy, 1_024 * MB);
await new Promise((resolve) => setTimeout(resolve, 1_000));
const last = await proxy.state();
const bodyBytes = await ask<number>(upstream);
await proxy.stop();
await end(upstream);

const page = `# Robustness

\`npm run bench:robustness -- --seconds ${seconds} --rate ${rate}\` on ${cpus().length} x ${cpus()[0]?.model ?? '?'}, Node ${process.version},
${new Date().toISOString().slice(0, 10)}. The gateway on core 0; the client that is measured and the upstream share core 1, and the
attackers have what these leave of it (SCHED_IDLE). Latency counts from when a request was due. Times in milliseconds.

| attack | open at its end | answered | p99 alone before / after | p99 beside it | ratio | in its first second | client's requests not answered 200 | MiB held | RSS growth MiB |
|---|---|---|---|---|---|---|---|---|---|
${rows.join('\n')}

Ratio: p99 beside the attack by the larger p99 alone of the same minute; in brackets that of the first second.
Load of the machine in the last 15 minutes: ${loadavg()[2]?.toFixed(1)}; above the number of cores, others were working and times say little.

- A body of 1 GiB: status ${upload.status}, ${(bodyBytes / MB).toFixed(0)} MiB of bodies arrived in all, RSS at most ${megabytes(upload.peakRssBytes - rssBefore)} MiB above the start of it.
- Open files: ${first.openFiles} before the attacks, ${last.openFiles} after them. RSS ${megabytes(first.rssBytes)} MiB before, ${megabytes(last.rssBytes)} MiB after.
- Hops recorded ${last.hopsFinished}, exported ${last.exported}, in flight ${last.inFlight}.
`;
process.stdout.write(page);
if (options.only === '') {
  const results = new URL('./results/', import.meta.url);
  mkdirSync(fileURLToPath(results), { recursive: true });
  writeFileSync(fileURLToPath(new URL('robustness.md', results)), page);
}
