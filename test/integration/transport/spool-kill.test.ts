/** What a process spooled outlives kill -9 of that process, also with a torn record at its end. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { appendFileSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { silentLog } from '../../../runtime/log.ts';
import { Spool } from '../../../transport/spool/spool.ts';
import { SAMPLE_RESOURCE } from '../../helpers/hop-samples.ts';
import { spansOf } from '../../helpers/otlp-proto.ts';
import { seededRandom } from '../../helpers/prng.ts';
import { scratchDir } from '../../helpers/scratch-dir.ts';

const CHILD = fileURLToPath(new URL('../../helpers/spooling-child.ts', import.meta.url));

/** Lets a child spool until it named so many messages, kills it, and returns all that it named. */
async function spoolAndKill(dir: string, boot: string, count: number): Promise<string[]> {
  const child = spawn(process.execPath, [CHILD], {
    env: { ...process.env, DIR: dir, BOOT: boot },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const names: string[] = [];
  const lines = createInterface({ input: child.stdout });
  lines.on('line', (line) => {
    if (names.push(line) === count) child.kill('SIGKILL');
  });
  await Promise.all([once(child, 'exit'), once(lines, 'close')]);
  // The last line may be cut off.
  return names.filter((name) => new RegExp(`^${boot}-\\d+$`).test(name));
}

describe('Spool and kill -9', function () {
  this.timeout(30_000);
  const dir = scratchDir();

  /** A successor, whose time passes at once. */
  async function successor(): Promise<{ names: string[]; damaged: number }> {
    let nowMs = 0;
    const spool = new Spool({
      dir: dir.path,
      resource: { ...SAMPLE_RESOURCE, proxyName: 'edge', bootId: 'heir' },
      bytesMax: 64 * 1024 * 1024,
      log: silentLog,
      nowMs: () => nowMs,
      every: () => () => undefined,
    });
    // Five signs of life that do not come.
    for (let step = 0; step < 6; step++) {
      await spool.tick();
      nowMs += 5_000;
    }
    const names: string[] = [];
    let damaged = 0;
    for (let taken = await spool.take(); taken !== undefined; taken = await spool.take()) {
      if (taken.kind !== 'message') damaged++;
      else {
        names.push(...spansOf(Buffer.from(taken.record.body)).map((span) => span.name));
        await spool.settle(taken.record, 0, 'refused');
      }
    }
    return { names, damaged };
  }

  const segmentsOf = (boot: string): string[] => {
    const folder = join(dir.path, 'edge', boot);
    return readdirSync(folder)
      .filter((name) => name.endsWith('.seg'))
      .sort()
      .map((name) => join(folder, name));
  };

  it('hands every message that the disk had to the successor, once and in order', async () => {
    const seed = Date.now() >>> 0;
    const random = seededRandom(seed);
    for (let round = 0; round < 3; round++) {
      const boot = `boot${round}`;
      const written = await spoolAndKill(dir.path, boot, 50 + Math.floor(random() * 400));
      const { names } = await successor();
      // One more may be whole on disk, of which the process did not live to speak.
      assert.deepEqual(names.slice(0, written.length), written, `seed ${seed}`);
      assert.equal(new Set(names).size, names.length, `seed ${seed}`);
    }
  });

  it('passes over a record that the kill tore, and gives all before it', async () => {
    const written = await spoolAndKill(dir.path, 'boot', 100);
    const last = segmentsOf('boot').at(-1)!;
    // The beginning of one more record, as a kill in the middle of a write leaves it.
    appendFileSync(last, readFileSync(last).subarray(0, 40));
    const { names } = await successor();
    assert.deepEqual(names.slice(0, written.length), written);
    assert.equal(new Set(names).size, names.length);
  });
});
