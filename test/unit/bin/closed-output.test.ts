import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { text } from 'node:stream/consumers';
import { PassThrough } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { allowClosedOutput } from '../../../bin/closed-output.ts';

const MAIN = fileURLToPath(new URL('../../../bin/azimuth.js', import.meta.url));

describe('output whose reader has gone', () => {
  for (const args of [['--help'], ['sql', '--help']]) {
    it(`ends azimuth ${args.join(' ')} quietly`, async () => {
      const child = spawn(process.execPath, [MAIN, ...args], { stdio: ['ignore', 'pipe', 'pipe'] });
      const exit = once(child, 'close') as Promise<[number | null]>;
      // Long before a word of it is written.
      child.stdout.destroy();
      assert.equal(await text(child.stderr), '');
      assert.deepEqual((await exit)[0], 0);
    });
  }

  it('is told apart from output that fails', () => {
    const stdout = new PassThrough();
    allowClosedOutput(stdout);
    const failed = (code: string): Error => Object.assign(new Error('write failed'), { code });
    stdout.emit('error', failed('EPIPE'));
    assert.throws(() => stdout.emit('error', failed('ENOSPC')), /write failed/);
  });
});
