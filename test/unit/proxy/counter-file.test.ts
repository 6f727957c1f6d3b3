import assert from 'node:assert/strict';
import { existsSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import {
  CounterFile,
  counterFileName,
  processIdentity,
  type CounterStatement,
} from '../../../proxy/counter-file.ts';
import { createLog, silentLog, type Log } from '../../../runtime/log.ts';
import { sampleLedger } from '../../helpers/sample-ledger.ts';
import { SAMPLE_RESOURCE } from '../../helpers/hop-samples.ts';
import { scratchDir } from '../../helpers/scratch-dir.ts';

describe('CounterFile', () => {
  const dir = scratchDir();
  const { proxyName, bootId } = SAMPLE_RESOURCE;
  const path = (): string => join(dir.path, 'state', counterFileName(proxyName, bootId));
  const open = (log: Log = silentLog): CounterFile => {
    const file = new CounterFile(join(dir.path, 'state'), SAMPLE_RESOURCE, log);
    file.open();
    return file;
  };
  const read = (): CounterStatement => JSON.parse(readFileSync(path(), 'utf8')) as CounterStatement;

  it('holds the newest statement on one page, for nobody else to read', async () => {
    const file = open();
    for (let hops = 1; hops <= 50; hops++) file.write(sampleLedger(hops), BigInt(hops) * 10n);
    await file.close(false);
    const { ledger, unix_ns, write, write_end, resource, process: owner } = read();
    assert.deepEqual(ledger, sampleLedger(50));
    assert.equal(unix_ns, '500');
    assert.equal(write, write_end);
    assert.equal(resource.bootId, bootId);
    assert.deepEqual(owner, processIdentity(process.pid));
    assert.equal(statSync(path()).size, 4_096);
    assert.equal(statSync(path()).mode & 0o077, 0);
  });

  it('holds the first statement at once: a process may be killed before its next', async () => {
    const file = open();
    file.write(sampleLedger(0), 7n);
    const { ledger, unix_ns } = read();
    await file.close(true);
    assert.deepEqual([ledger, unix_ns], [sampleLedger(0), '7']);
  });

  it('leaves nothing of a longer statement behind a shorter one', async () => {
    const file = open();
    file.write(sampleLedger(Number.MAX_SAFE_INTEGER), 1_000_000_000_000_000_000n);
    file.write(sampleLedger(1), 1n);
    await file.close(false);
    assert.equal(read().ledger.hopsFinished, 1);
  });

  it('is removed when nobody needs it, and writes nothing afterwards', async () => {
    const file = open();
    file.write(sampleLedger(1), 1n);
    await file.close(true);
    file.write(sampleLedger(2), 2n);
    await file.close(true);
    assert.equal(existsSync(path()), false);
  });

  it('says once that there is none when its folder cannot be made, and goes on', async () => {
    writeFileSync(join(dir.path, 'state'), 'a file stands where the folder should');
    const lines: string[] = [];
    const file = open(createLog({ write: (line) => lines.push(line) }));
    file.write(sampleLedger(1), 1n);
    file.write(sampleLedger(2), 2n);
    await file.close(true);
    assert.equal(lines.length, 1);
    assert.match(lines[0]!, /no counter file/);
  });

  it('keeps the statement before when the next one does not fit its page', async () => {
    const file = open();
    file.write(sampleLedger(1), 1n);
    file.write({ ...sampleLedger(2), dropped: { ['x'.repeat(5_000)]: 1 } }, 2n);
    await file.close(false);
    assert.equal(read().ledger.hopsFinished, 1);
  });

  it('knows a living process and none of a number that nobody has', () => {
    assert.equal(processIdentity(process.pid)?.pid, process.pid);
    assert.equal(processIdentity(2 ** 30), undefined);
  });
});
