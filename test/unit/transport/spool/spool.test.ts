import assert from 'node:assert/strict';
import { appendFileSync, existsSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { silentLog } from '../../../../runtime/log.ts';
import type { Ledger } from '../../../../telemetry/ledger.ts';
import { readLedgers } from '../../../../telemetry/ledger-log.ts';
import type { OutboundMessage } from '../../../../transport/exporter.ts';
import { Spool, type Taken } from '../../../../transport/spool/spool.ts';
import { faultyDisk, type FaultyDisk } from '../../../helpers/faulty-disk.ts';
import { SAMPLE_RESOURCE } from '../../../helpers/hop-samples.ts';
import { scratchDir } from '../../../helpers/scratch-dir.ts';

const message = (text: string, items = 1): OutboundMessage => ({
  signal: 'traces',
  body: Buffer.from(text),
  items,
});

const newLedger = (): Ledger => ({
  lastSeq: 0,
  hopsFinished: 0,
  emitted: 0,
  dropped: {},
  spooled: 0,
  attempts: 0,
  cpuNs: 0,
  rssBytes: 0,
  loopDelayNs: 0,
  inFlight: 0,
  closing: false,
});

/** One process of the proxy `edge`. Time passes when the test says so. */
class Process {
  readonly spool: Spool;
  readonly disk: FaultyDisk = faultyDisk();
  readonly bootId: string;
  /** Ledgers that were offered: boot, what it says, and how to say that it arrived. */
  readonly ledgers: { bootId: string; ledger: Ledger; delivered: () => void }[] = [];
  readonly ledger = newLedger();
  nowMs = 0;
  found = 0;

  constructor(dir: string, bootId: string, bytesMax = 1_000_000) {
    this.bootId = bootId;
    this.spool = new Spool({
      dir,
      resource: { ...SAMPLE_RESOURCE, proxyName: 'edge', bootId },
      bytesMax,
      log: silentLog,
      fs: this.disk.fs,
      nowMs: () => this.nowMs,
      every: () => () => undefined,
      wallMs: () => 1_700_000_000_000 + this.nowMs,
    });
    this.spool.start({
      ledger: () => ({ ...this.ledger, spooled: this.spool.items }),
      offerLedger: (body, boot, delivered) =>
        this.ledgers.push({ bootId: boot, ledger: readLedgers(body)[0]!.ledger, delivered }),
      onFound: () => this.found++,
    });
  }

  /** Signs of life and looks around, at each of so many steps of 5 s. */
  async pass(steps: number): Promise<void> {
    for (let step = 0; step < steps; step++) {
      this.nowMs += 5_000;
      await this.spool.tick();
    }
  }

  async take(): Promise<string> {
    return textOf(await this.spool.take());
  }

  /** Takes and settles all; the texts. */
  async deliverAll(): Promise<string[]> {
    const texts: string[] = [];
    for (
      let taken = await this.spool.take();
      taken !== undefined;
      taken = await this.spool.take()
    ) {
      texts.push(textOf(taken));
      if (taken.kind === 'message') await this.spool.settle(taken.record, 0, 'refused');
    }
    return texts;
  }

  closing(): Ledger {
    return { ...this.ledger, spooled: this.spool.items, closing: true };
  }

  async end(delivered = true): Promise<void> {
    await this.spool.close(this.closing(), delivered);
  }
}

const textOf = (taken: Taken | undefined): string => {
  if (taken === undefined) return 'nothing';
  if (taken.kind !== 'message') return `${taken.kind} ${taken.items}`;
  return (taken.own ? '' : 'of another: ') + Buffer.from(taken.record.body).toString();
};

describe('Spool', () => {
  const dir = scratchDir();
  const home = (): string => join(dir.path, 'edge');
  const folders = (): string[] => (existsSync(home()) ? readdirSync(home()).sort() : []);

  it('writes nothing to disk before something is spooled', async () => {
    const one = new Process(dir.path, 'boot-1');
    await one.pass(2);
    await one.end();
    assert.deepEqual(readdirSync(dir.path), []);
  });

  it('gives back in order what it took, and counts it while it lies there', async () => {
    const one = new Process(dir.path, 'boot-1');
    assert.equal(one.spool.hasUnread, false);
    assert.ok(await one.spool.append(message('a', 2)));
    assert.ok(await one.spool.append(message('b', 3)));
    assert.deepEqual([one.spool.items, one.spool.hasUnread], [5, true]);
    const taken = await one.spool.take();
    assert.ok(taken?.kind === 'message');
    assert.equal(one.spool.items, 5, 'taken is not delivered');
    await one.spool.settle(taken.record, 0, 'refused');
    assert.equal(one.spool.items, 3);
    assert.deepEqual(await one.deliverAll(), ['b']);
    assert.deepEqual([one.spool.items, one.spool.bytes], [0, 0]);
    await one.end();
    assert.deepEqual(folders(), [], 'all delivered, and the closing ledger too');
  });

  it('takes no more than its bound in bytes, and more again when there is room', async () => {
    const one = new Process(dir.path, 'boot-1', 100);
    const body = 'x'.repeat(60);
    assert.equal(await one.spool.append(message(body)), true);
    assert.equal(await one.spool.append(message(body)), false);
    assert.equal(one.spool.items, 1);
    assert.deepEqual(await one.deliverAll(), [body]);
    assert.equal(await one.spool.append(message(body)), true);
    await one.end();
  });

  it('says that a full disk took nothing, and takes more when there is room', async () => {
    const one = new Process(dir.path, 'boot-1');
    await one.spool.append(message('a'));
    one.disk.freeBytes = 10;
    assert.equal(await one.spool.append(message('b')), false);
    assert.equal(await one.spool.append(message('c')), false);
    one.disk.freeBytes = Infinity;
    assert.equal(await one.spool.append(message('d')), true);
    assert.deepEqual(await one.deliverAll(), ['a', 'd']);
    await one.end();
  });

  it('says that a folder that cannot be written took nothing', async () => {
    const one = new Process(dir.path, 'boot-1');
    one.disk.broken = true;
    assert.equal(await one.spool.append(message('a')), false);
    await one.pass(1);
    await one.end(false);
  });

  it('leaves what is not delivered, and its ledger, to the next process, which states it to its end', async () => {
    const first = new Process(dir.path, 'boot-1');
    Object.assign(first.ledger, { hopsFinished: 9, lastSeq: 9, emitted: 4 });
    await first.spool.append(message('a', 2));
    await first.spool.append(message('b', 3));
    await first.end();

    const second = new Process(dir.path, 'boot-2');
    await second.pass(1);
    assert.ok(second.found > 0);
    assert.equal(second.spool.items, 0, 'hops of another boot are not its own');
    const taken = await second.spool.take();
    assert.ok(taken?.kind === 'message' && !taken.own);
    await second.spool.settle(taken.record, 1, 'refused');
    await second.pass(1);
    const stated = second.ledgers.at(-1)!;
    assert.equal(stated.bootId, 'boot-1');
    assert.deepEqual(
      [stated.ledger.hopsFinished, stated.ledger.emitted, stated.ledger.spooled],
      [9, 5, 3],
    );
    assert.equal(stated.ledger.dropped['refused'], 1);
    assert.equal(stated.ledger.closing, true);

    assert.deepEqual(await second.deliverAll(), ['of another: b']);
    await second.pass(1);
    const last = second.ledgers.at(-1)!;
    assert.deepEqual([last.ledger.emitted, last.ledger.spooled], [8, 0]);
    assert.equal(folders().length, 1, 'kept until the ledger arrived');
    last.delivered();
    await second.end();
    assert.deepEqual(folders(), []);
  });

  it('keeps a closing ledger that did not arrive, though all hops did', async () => {
    const first = new Process(dir.path, 'boot-1');
    Object.assign(first.ledger, { hopsFinished: 7, emitted: 7 });
    await first.end(false);
    const second = new Process(dir.path, 'boot-2');
    await second.pass(2);
    const stated = second.ledgers.at(-1)!;
    assert.deepEqual(
      [stated.bootId, stated.ledger.emitted, stated.ledger.closing],
      ['boot-1', 7, true],
    );
    await second.end();
  });

  it('takes over what a killed process left, once its sign of life stood still for 20 s', async () => {
    const killed = new Process(dir.path, 'boot-1');
    await killed.spool.append(message('a'));
    await killed.pass(1);
    const second = new Process(dir.path, 'boot-2');
    await second.pass(4);
    assert.equal(await second.take(), 'nothing', 'it may only be slow');
    await killed.pass(1);
    await second.pass(4);
    assert.equal(await second.take(), 'nothing', 'it gave a sign');
    await second.pass(1);
    assert.deepEqual(await second.deliverAll(), ['of another: a']);
    await killed.end();
    await second.end();
  });

  it('never takes over a process that lives', async () => {
    const one = new Process(dir.path, 'boot-1');
    await one.spool.append(message('a'));
    const two = new Process(dir.path, 'boot-2');
    for (let step = 0; step < 20; step++) {
      await one.pass(1);
      await two.pass(1);
    }
    assert.equal(await two.take(), 'nothing');
    assert.equal(await one.take(), 'a');
    await one.end();
    await two.end();
  });

  it('gives what one left to one process alone', async () => {
    const first = new Process(dir.path, 'boot-1');
    await first.spool.append(message('a'));
    await first.end();
    const heirs = ['boot-2', 'boot-3', 'boot-4'].map((boot) => new Process(dir.path, boot));
    await Promise.all(heirs.map((heir) => heir.pass(1)));
    const taken = await Promise.all(heirs.map((heir) => heir.deliverAll()));
    assert.deepEqual(taken.flat(), ['of another: a']);
    for (const heir of heirs) await heir.end();
  });

  it('passes on what it took over and did not deliver itself', async () => {
    const first = new Process(dir.path, 'boot-1');
    Object.assign(first.ledger, { hopsFinished: 2 });
    await first.spool.append(message('a'));
    await first.spool.append(message('b'));
    await first.end();
    const second = new Process(dir.path, 'boot-2');
    await second.pass(1);
    const taken = await second.spool.take();
    assert.ok(taken?.kind === 'message');
    await second.spool.settle(taken.record, 0, 'refused');
    await second.end();
    const third = new Process(dir.path, 'boot-3');
    await third.pass(1);
    assert.deepEqual(await third.deliverAll(), ['of another: b']);
    await third.pass(1);
    const { bootId, ledger } = third.ledgers.at(-1)!;
    assert.deepEqual([bootId, ledger.emitted, ledger.spooled], ['boot-1', 2, 0]);
    await third.end();
  });

  it('hands on to its heir when it stood still so long that it was taken over', async () => {
    const stopped = new Process(dir.path, 'boot-1');
    await stopped.spool.append(message('a', 3));
    const heir = new Process(dir.path, 'boot-2');
    await heir.pass(5);
    // It goes on: its clock shows that it stood still.
    stopped.nowMs = 60_000;
    assert.ok(await stopped.spool.append(message('b', 2)));
    assert.deepEqual(await stopped.deliverAll(), ['handed_on 3', 'b']);
    assert.deepEqual(await heir.deliverAll(), ['of another: a']);
    await stopped.end();
    await heir.end();
  });

  it('counts what a damaged file took away, once the rest came out', async () => {
    const one = new Process(dir.path, 'boot-1');
    await one.spool.append(message('a', 2));
    await one.spool.append(message('b', 3));
    rmSync(join(home(), 'boot-1', '00000001.seg'));
    assert.equal(await one.take(), 'a', 'the open file can still be read');
    await one.end();
    const second = new Process(dir.path, 'boot-2');
    await second.pass(2);
    const { ledger } = second.ledgers.at(-1)!;
    assert.deepEqual([ledger.spooled, ledger.dropped['spool_damaged']], [0, 5]);
    await second.end();
  });

  it('reads on behind foreign bytes in what it took over', async () => {
    const first = new Process(dir.path, 'boot-1');
    await first.spool.append(message('a'));
    await first.end();
    appendFileSync(join(home(), 'boot-1', '00000001.seg'), 'torn');
    const second = new Process(dir.path, 'boot-2');
    await second.pass(1);
    assert.deepEqual(await second.deliverAll(), ['of another: a']);
    await second.end();
  });

  it('waits with a file that cannot be opened, and asks again later', async () => {
    const first = new Process(dir.path, 'boot-1');
    await first.spool.append(message('a'));
    await first.end();
    const second = new Process(dir.path, 'boot-2');
    await second.pass(1);
    second.disk.broken = true;
    assert.equal(await second.take(), 'nothing');
    assert.equal(second.spool.hasUnread, false, 'not at once again');
    second.disk.broken = false;
    const before = second.found;
    await second.pass(1);
    assert.ok(second.found > before);
    assert.deepEqual(await second.deliverAll(), ['of another: a']);
    await second.end();
  });

  it('keeps the newest ledger for the case that the process is killed', async () => {
    const killed = new Process(dir.path, 'boot-1');
    await killed.spool.append(message('a', 2));
    killed.spool.keepLedger({ ...killed.closing(), closing: false, hopsFinished: 12, emitted: 10 });
    await killed.spool.append(message('b'));
    await killed.pass(1);
    const heir = new Process(dir.path, 'boot-2');
    await heir.pass(5);
    await heir.deliverAll();
    await heir.pass(1);
    const { ledger } = heir.ledgers.at(-1)!;
    // What it spooled after that ledger is beyond it: not more than it says is moved.
    assert.deepEqual(
      [ledger.hopsFinished, ledger.emitted, ledger.spooled, ledger.closing],
      [12, 12, 0, false],
    );
    await killed.end();
    await heir.end();
  });
});
