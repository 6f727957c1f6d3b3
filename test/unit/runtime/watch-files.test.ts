import assert from 'node:assert/strict';
import { mkdirSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { silentLog } from '../../../runtime/log.ts';
import { watchFiles, type FileWatch } from '../../../runtime/watch-files.ts';
import { scratchDir } from '../../helpers/scratch-dir.ts';

describe('watchFiles', () => {
  const dir = scratchDir();
  let watch: FileWatch | undefined;
  let changes: number;
  let waiting: (() => void)[];
  afterEach(() => watch?.stop());

  const file = (): string => join(dir.path, 'mesh.yaml');
  const watching = (...files: string[]): FileWatch => {
    changes = 0;
    waiting = [];
    watch = watchFiles({
      files,
      onChange: () => {
        changes++;
        for (const wake of waiting.splice(0)) wake();
      },
      log: silentLog,
      settleMs: 1,
      pollMs: 5,
    });
    return watch;
  };
  const changed = async (count: number): Promise<void> => {
    while (changes < count) await new Promise<void>((resolve) => waiting.push(resolve));
  };

  it('tells each change once, whether a file is written or replaced', async () => {
    writeFileSync(file(), 'one');
    await watching(file()).start();
    writeFileSync(file(), 'two');
    await changed(1);
    writeFileSync(`${file()}.new`, 'three');
    renameSync(`${file()}.new`, file());
    await changed(2);
    assert.equal(changes, 2);
  });

  it('tells a change between its making and its start', async () => {
    writeFileSync(file(), 'one');
    const made = watching(file());
    writeFileSync(file(), 'two');
    await made.start();
    await changed(1);
  });

  it('tells that a file is gone, and that it is back with other content', async () => {
    writeFileSync(file(), 'one');
    await watching(file()).start();
    rmSync(file());
    await changed(1);
    writeFileSync(file(), 'two');
    await changed(2);
  });

  it('follows a symbolic link beside the file that is swapped, as Kubernetes does', async () => {
    for (const version of ['v1', 'v2']) {
      mkdirSync(join(dir.path, version));
      writeFileSync(join(dir.path, version, 'mesh.yaml'), version);
    }
    symlinkSync('v1', join(dir.path, '..data'));
    symlinkSync(join('..data', 'mesh.yaml'), file());
    await watching(file()).start();
    symlinkSync('v2', join(dir.path, '..data_tmp'));
    renameSync(join(dir.path, '..data_tmp'), join(dir.path, '..data'));
    await changed(1);
  });

  it('calls at once when it is asked to, changed or not', async () => {
    writeFileSync(file(), 'one');
    const made = watching(file());
    await made.start();
    await made.now();
    assert.equal(changes, 1);
  });
});
