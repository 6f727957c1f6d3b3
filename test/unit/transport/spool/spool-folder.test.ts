import assert from 'node:assert/strict';
import {
  appendFileSync,
  readdirSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import type { OutboundMessage } from '../../../../transport/exporter.ts';
import { HEADER_BYTES } from '../../../../transport/spool/record.ts';
import {
  realFs,
  SpoolFolder,
  type SpooledRecord,
  type SpoolReading,
} from '../../../../transport/spool/spool-folder.ts';
import { faultyDisk } from '../../../helpers/faulty-disk.ts';
import { seededRandom } from '../../../helpers/prng.ts';
import { scratchDir } from '../../../helpers/scratch-dir.ts';

const message = (text: string, items = 1): OutboundMessage => ({
  signal: 'traces',
  body: Buffer.from(text),
  items,
});

const textOf = (reading: SpoolReading | undefined): string =>
  reading === undefined
    ? 'end'
    : reading.kind === 'damaged'
      ? `damaged ${reading.items}`
      : Buffer.from(reading.record.body).toString();

async function readAll(folder: SpoolFolder): Promise<string[]> {
  const texts: string[] = [];
  for (let reading = await folder.next(); reading !== undefined; reading = await folder.next())
    texts.push(textOf(reading));
  return texts;
}

async function nextRecord(folder: SpoolFolder): Promise<SpooledRecord> {
  const reading = await folder.next();
  assert.ok(reading?.kind === 'message', textOf(reading));
  return reading.record;
}

describe('SpoolFolder', () => {
  const dir = scratchDir();
  const segments = (): string[] => readdirSync(dir.path).sort();
  const segment = (number = 1): string => join(dir.path, `0000000${number}.seg`);

  let opened: SpoolFolder[] = [];
  const open = async (segmentBytesMax = 1_000_000): Promise<SpoolFolder> => {
    const folder = new SpoolFolder(dir.path, segmentBytesMax, realFs);
    await folder.load();
    opened.push(folder);
    return folder;
  };
  afterEach(async () => {
    for (const folder of opened) await folder.close();
    opened = [];
  });
  const written = async (...texts: string[]): Promise<void> => {
    const folder = await open();
    for (const text of texts) await folder.append(message(text, text.length), 0);
    await folder.close();
  };

  it('gives back what was written, in order, with its time, also across segments', async () => {
    const folder = await open(100);
    for (let i = 0; i < 10; i++) await folder.append(message(`message ${i}`), 1000 + i);
    assert.ok(segments().length > 1);
    const first = await nextRecord(folder);
    assert.deepEqual([first.writtenAtMs, first.items, first.signal], [1000, 1, 'traces']);
    assert.deepEqual(
      await readAll(folder),
      Array.from({ length: 9 }, (_, i) => `message ${i + 1}`),
    );
    await folder.close();
  });

  it('gives what is written while it reads, too', async () => {
    const folder = await open();
    assert.equal(folder.hasUnread, false);
    await folder.append(message('a'), 0);
    assert.equal(textOf(await folder.next()), 'a');
    assert.equal(textOf(await folder.next()), 'end');
    await folder.append(message('b'), 0);
    assert.equal(folder.hasUnread, true);
    assert.equal(textOf(await folder.next()), 'b');
    await folder.close();
  });

  it('deletes a segment when all of it is settled, and gives its bytes back', async () => {
    const folder = await open(2 * (HEADER_BYTES + 1));
    for (const text of ['a', 'b', 'c']) await folder.append(message(text), 0);
    assert.deepEqual(segments(), ['00000001.seg', '00000002.seg']);
    const a = await nextRecord(folder);
    const b = await nextRecord(folder);
    await folder.settle(b);
    assert.equal(segments().length, 2);
    await folder.settle(a);
    assert.deepEqual(segments(), ['00000002.seg']);
    assert.equal(folder.bytes, HEADER_BYTES + 1);
    await folder.settle(await nextRecord(folder));
    assert.deepEqual(segments(), []);
    assert.deepEqual([folder.bytes, folder.isEmpty], [0, true]);
    await folder.append(message('d'), 0);
    assert.deepEqual(await readAll(folder), ['d']);
    await folder.close();
  });

  it('hands on to a successor what was not settled, and only that', async () => {
    const folder = await open();
    for (const text of ['a', 'b', 'c']) await folder.append(message(text), 0);
    await nextRecord(folder);
    await folder.settle(await nextRecord(folder));
    // No close: the process was killed.
    const successor = await open();
    assert.deepEqual(await readAll(successor), ['a', 'c']);
    await folder.close();
    await successor.close();
  });

  it('settles nothing after it was closed: the rest belongs to the successor', async () => {
    const folder = await open();
    await folder.append(message('a'), 0);
    const record = await nextRecord(folder);
    await folder.close();
    await folder.settle(record);
    assert.deepEqual(await readAll(await open()), ['a']);
  });

  it('counts a torn last record, where its header is whole', async () => {
    await written('a', 'bb', 'ccc');
    truncateSync(segment(), readFileSync(segment()).length - 1);
    assert.deepEqual(await readAll(await open()), ['a', 'bb', 'damaged 3']);
  });

  it('says that something is gone where even the header of the last is torn', async () => {
    await written('a', 'bb');
    truncateSync(segment(), HEADER_BYTES + 1 + 10);
    assert.deepEqual(await readAll(await open()), ['a', 'damaged 0']);
  });

  it('passes over a damaged body, counts it, and counts it once', async () => {
    await written('a', 'bbbb', 'c');
    const bytes = readFileSync(segment());
    bytes[bytes.indexOf('bbbb')]! ^= 1;
    writeFileSync(segment(), bytes);
    assert.deepEqual(await readAll(await open()), ['a', 'damaged 4', 'c']);
    assert.deepEqual(await readAll(await open()), ['a', 'c']);
  });

  it('finds the next record behind a damaged header', async () => {
    await written('a', 'bb', 'c');
    const bytes = readFileSync(segment());
    bytes[HEADER_BYTES + 1 + 9]! ^= 0xff;
    writeFileSync(segment(), bytes);
    assert.deepEqual(await readAll(await open()), ['a', 'damaged 0', 'c']);
  });

  it('ends at foreign bytes, however many', async () => {
    await written('a');
    appendFileSync(segment(), Buffer.alloc(200_000, 0xff));
    writeFileSync(segment(2), 'not a segment');
    assert.deepEqual(await readAll(await open()), ['a', 'damaged 0', 'damaged 0']);
  });

  it('survives a cut at every byte: all whole records before it, in order, and nothing made up', async () => {
    await written('a', 'bb', 'ccc');
    const whole = readFileSync(segment());
    const ends = ['a', 'bb', 'ccc'].map(
      (_, i) => (i + 1) * HEADER_BYTES + ['a', 'abb', 'abbccc'][i]!.length,
    );
    for (let cut = 0; cut <= whole.length; cut++) {
      writeFileSync(segment(), whole.subarray(0, cut));
      const folder = await open();
      const texts = (await readAll(folder)).filter((text) => !text.startsWith('damaged'));
      await folder.close();
      const due = ['a', 'bb', 'ccc'].slice(0, ends.filter((end) => end <= cut).length);
      assert.deepEqual(texts, due, `cut at ${cut}`);
    }
  });

  it('never gives a record that was not written, whatever bytes change', async () => {
    const seed = Date.now() >>> 0;
    const random = seededRandom(seed);
    const texts = Array.from({ length: 20 }, (_, i) => `message ${i} ${'x'.repeat(i * 7)}`);
    await written(...texts);
    const whole = readFileSync(segment());
    for (let round = 0; round < 100; round++) {
      const bytes = Buffer.from(whole);
      for (let n = 1 + random() * 8; n > 0; n--)
        bytes[Math.floor(random() * bytes.length)] = Math.floor(random() * 256);
      writeFileSync(segment(), bytes);
      const folder = await open();
      const read = (await readAll(folder)).filter((text) => !text.startsWith('damaged'));
      await folder.close();
      assert.ok(
        read.every((text) => texts.includes(text)),
        `seed ${seed}, round ${round}`,
      );
      assert.equal(new Set(read).size, read.length, `twice: seed ${seed}, round ${round}`);
    }
  });

  it('rejects what a full disk does not take, cuts it off, and takes more when there is room', async () => {
    const disk = faultyDisk();
    const folder = new SpoolFolder(dir.path, 1_000_000, disk.fs);
    await folder.append(message('a'), 0);
    disk.freeBytes = HEADER_BYTES + 1;
    await assert.rejects(folder.append(message('bb'), 0), /only a part/);
    disk.freeBytes = 0;
    await assert.rejects(folder.append(message('cc'), 0), { code: 'ENOSPC' });
    disk.freeBytes = Infinity;
    await folder.append(message('d'), 0);
    assert.deepEqual(await readAll(folder), ['a', 'd']);
    await folder.close();
  });

  it('gives nothing up for a file that cannot be opened now', async () => {
    await written('a');
    const disk = faultyDisk();
    const folder = new SpoolFolder(dir.path, 1_000_000, disk.fs);
    await folder.load();
    disk.broken = true;
    await assert.rejects(folder.next(), { code: 'EIO' });
    disk.broken = false;
    assert.deepEqual(await readAll(folder), ['a']);
    await folder.close();
  });

  it('reports a file that is gone as damaged, and goes on with the next', async () => {
    await written('a');
    const folder = await open(1);
    await folder.append(message('b'), 0);
    await folder.append(message('c'), 0);
    rmSync(segment());
    assert.deepEqual(await readAll(folder), ['damaged 0', 'b', 'c']);
    await folder.close();
  });
});
