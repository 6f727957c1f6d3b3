/**
 * The whole line in one command, as a newcomer runs it: real processes, real requests, the embedded
 * store. Ports are free ones and the folder is temporary, so it runs beside a demo of yours.
 */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, readdirSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { commandLineOf } from '../../demo/processes.ts';
import { requireKafka } from '../helpers/kafka-broker.ts';

const RUN = fileURLToPath(new URL('../../demo/run.ts', import.meta.url));

interface Outcome {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs the demo; `onText` sees stderr as it comes and may send it a signal. */
async function runDemo(
  folder: string,
  args: readonly string[],
  onText?: (text: string, kill: (signal: NodeJS.Signals) => void) => void,
): Promise<Outcome> {
  const child = spawn(process.execPath, [RUN, '--dir', folder, '--free-ports', ...args], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let stdout = '';
  let stderr = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => (stdout += text));
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr += text;
    onText?.(stderr, (signal) => child.kill(signal));
  });
  const code = await new Promise<number | null>((done) => child.once('close', done));
  return { code, stdout, stderr };
}

const figuresOf = ({ stdout, stderr, code }: Outcome): Record<string, number> => {
  const lines = stdout.trimEnd().split('\n');
  assert.equal(lines.length, 1, `stdout has one line:\n${stdout}\n${stderr}`);
  assert.equal(code, 0, stderr);
  return JSON.parse(lines[0]!) as Record<string, number>;
};

function assertAllCounted(figures: Record<string, number>, sent: number): void {
  const text = JSON.stringify(figures);
  assert.equal(figures['requests_sent'], sent, text);
  assert.equal(figures['requests_counted_split'], sent, text);
  assert.equal(figures['requests_counted_whole'], sent, text);
  assert.equal(figures['legs_split'], figures['legs_whole'], text);
  assert.equal(figures['hops_finished'], figures['hops_stored'], text);
  assert.equal(figures['legs_split'], figures['hops_stored'], text);
  assert.equal(figures['dropped'], 0, text);
  assert.equal(figures['unexplained'], 0, text);
  assert.equal(figures['errors'], 0, text);
}

/** Processes that still run by the folder's mesh file; empty where there is no /proc. */
function leftRunning(folder: string): string[] {
  try {
    return readdirSync('/proc')
      .map(Number)
      .filter((pid) => Number.isInteger(pid) && pid !== process.pid)
      .map(commandLineOf)
      .filter((line) => line.includes(folder));
  } catch {
    return [];
  }
}

describe('npm run demo', function () {
  this.timeout(120_000);
  let folder: string;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'azimuth-demo-'));
  });
  afterEach(() => {
    assert.deepEqual(leftRunning(folder), []);
    rmSync(folder, { recursive: true, force: true });
  });

  it('counts every request once in both perspectives, stores every hop and prints the report', async () => {
    const outcome = await runDemo(folder, ['--seconds', '6', '--rate', '50', '--json']);
    const figures = figuresOf(outcome);
    assertAllCounted(figures, 300);
    assert.match(outcome.stderr, /Gateway versus mesh/);
    assert.match(outcome.stderr, /curl -u azimuth:\S+ 'http:\/\/127\.0\.0\.1:[0-9]+\/\?query=/);
    assert.ok(figures['first_request_s']! > 0);
    // Only where the system tells it.
    const pss = figures['memory_pss_bytes'] ?? 0;
    assert.ok(pss < 3 * 2 ** 30, `${pss} bytes`);
    const env = join(folder, '.env');
    assert.equal(statSync(env).mode & 0o777, 0o600);
    const password = readFileSync(env, 'utf8').split('=')[1]!.trim();
    assert.ok(!readFileSync(join(folder, 'mesh.yaml'), 'utf8').includes(password));
  });

  for (const topology of ['attached', 'shared', 'merged']) {
    it(`does so with the shop in topology ${topology}`, async () => {
      const args = ['--seconds', '1', '--rate', '30', '--json', '--topology', topology];
      const outcome = await runDemo(folder, args);
      const figures = figuresOf(outcome);
      assertAllCounted(figures, 30);
      assert.equal(figures['topology'], topology);
      assert.match(outcome.stderr, new RegExp(`Gateway versus mesh +shop / ${topology} `));
    });
  }

  it('loses and doubles nothing when the collector is killed (-9) and comes back', async () => {
    const outcome = await runDemo(folder, [
      ...['--seconds', '6', '--rate', '50', '--json'],
      ...['--kill-collector-at', '2'],
    ]);
    assert.match(outcome.stderr, /collector killed \(-9\)[^]*collector is back/);
    assertAllCounted(figuresOf(outcome), 300);
  });

  it('does so over Kafka too, with the collector killed (-9) between the broker and the store', async function () {
    this.timeout(240_000);
    requireKafka(this);
    const outcome = await runDemo(folder, [
      ...['--seconds', '6', '--rate', '50', '--json', '--transport', 'kafka'],
      ...['--kill-collector-at', '2'],
    ]);
    assert.match(outcome.stderr, /collector killed \(-9\)[^]*collector is back/);
    assertAllCounted(figuresOf(outcome), 300);
  });

  it('ends in order at SIGINT while it stays up', async () => {
    let interrupted = false;
    const outcome = await runDemo(
      folder,
      ['--seconds', '1', '--rate', '20', '--json', '--keep'],
      (text, kill) => {
        if (interrupted || !text.includes('gentle traffic')) return;
        interrupted = true;
        kill('SIGINT');
      },
    );
    assertAllCounted(figuresOf(outcome), 20);
    assert.match(outcome.stderr, /stopped +proxies, services, collector, analytics, store/);
  });
});
