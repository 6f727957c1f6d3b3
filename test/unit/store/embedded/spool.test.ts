import assert from 'node:assert/strict';
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { openSpool } from '../../../../store/embedded/spool.ts';

describe('the spool of insert bodies', () => {
  let folder: string;

  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'azimuth-test-spool-'));
  });
  afterEach(() => {
    rmSync(folder, { recursive: true, force: true });
  });

  it('writes the head and the rest of a body into one file, and removes it', async () => {
    const spool = openSpool(folder);
    const body = await spool.write(Buffer.from('a\n\n'), Readable.from([Buffer.from('b')]));
    assert.equal(readFileSync(body.path, 'utf8'), 'a\n\nb');
    assert.equal(body.bytes, 4);
    await body.remove();
    await body.remove();
    assert.deepEqual(readdirSync(folder), []);
  });

  it('names the folder and the fix when the disk is full, and leaves nothing behind', async () => {
    const full = Object.assign(new Error('no space'), { code: 'ENOSPC' });
    const source = Readable.from(
      (function* () {
        yield Buffer.from('a');
        throw full;
      })(),
    );
    await assert.rejects(openSpool(folder).write(Buffer.alloc(0), source), (error: unknown) => {
      const fault = error as { code: number; status: number; message: string };
      assert.deepEqual([fault.code, fault.status], [243, 507]);
      assert.ok(fault.message.includes(folder) && fault.message.includes('--spool'));
      return true;
    });
    assert.deepEqual(readdirSync(folder), []);
  });

  it('keeps nothing of a body that broke off', async () => {
    const source = Readable.from(
      (function* () {
        yield Buffer.from('a');
        throw new Error('the request broke off');
      })(),
    );
    await assert.rejects(openSpool(folder).write(Buffer.alloc(0), source), /broke off/);
    assert.deepEqual(readdirSync(folder), []);
  });

  it('clears what an earlier run left, and only that', () => {
    writeFileSync(join(folder, '1-1.rows'), '');
    writeFileSync(join(folder, 'other'), '');
    openSpool(folder);
    assert.deepEqual(readdirSync(folder), ['other']);
  });

  it('refuses a link in place of its folder', () => {
    mkdirSync(join(folder, 'real'));
    symlinkSync(join(folder, 'real'), join(folder, 'link'));
    assert.throws(() => openSpool(join(folder, 'link')), /not ours/);
  });
});
