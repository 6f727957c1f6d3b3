import assert from 'node:assert/strict';
import { readdirSync, readFileSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { counterFileName, processIdentity } from '../../../proxy/counter-file.ts';
import { EndedBoots, noteEnd } from '../../../proxy/ended-boots.ts';
import { clockId } from '../../../runtime/clock.ts';
import { createLog } from '../../../runtime/log.ts';
import { readLedgers, type ReceivedLedger } from '../../../telemetry/ledger-log.ts';
import { SAMPLE_RESOURCE } from '../../helpers/hop-samples.ts';
import { sampleLedger } from '../../helpers/sample-ledger.ts';
import { scratchDir } from '../../helpers/scratch-dir.ts';

const NOW_MS = 1_800_000_000_000;
const LONG_AGO_MS = NOW_MS - 3_600_000;
const { proxyName: PROXY } = SAMPLE_RESOURCE;

describe('EndedBoots', () => {
  const dir = scratchDir();
  let sent: ReceivedLedger[];
  let lines: string[];
  let collectorIsAway: boolean;

  beforeEach(() => {
    sent = [];
    lines = [];
    collectorIsAway = false;
  });

  const here = (): Record<string, unknown> => ({ ...processIdentity(process.pid) });
  /** A process of this machine that is gone: the number is taken by one that started later. */
  const gone = (): Record<string, unknown> => ({ ...here(), started: '1' });
  /** A process of another container: nobody here can see it. */
  const elsewhere = (): Record<string, unknown> => ({ ...here(), pid_namespace: 'pid:[1]' });

  const fileOf = (bootId: string): string => join(dir.path, counterFileName(PROXY, bootId));
  const leave = (bootId: string, change: Record<string, unknown> = {}): void => {
    const statement = {
      write: 2,
      process: gone(),
      resource: { ...SAMPLE_RESOURCE, bootId, clockId: clockId() },
      ledger: sampleLedger(41),
      unix_ns: `${LONG_AGO_MS}000000`,
      write_end: 2,
      ...change,
    };
    writeFileSync(fileOf(bootId), JSON.stringify(statement).padEnd(4_096));
  };
  const look = (nowMs = NOW_MS): Promise<boolean> =>
    new EndedBoots({
      folder: dir.path,
      proxy: PROXY,
      mesh: SAMPLE_RESOURCE.mesh,
      ownBootId: 'own',
      exporter: {
        name: 'recording',
        concurrency: 1,
        send: ({ body }) => {
          if (collectorIsAway) return Promise.reject(new Error('away'));
          sent.push(...readLedgers(body));
          return Promise.resolve();
        },
        close: () => Promise.resolve(),
      },
      log: createLog({ write: (line) => lines.push(line) }),
      nowMs: () => nowMs,
    }).look();

  it('states the end of a process that is gone, dated by its last counters, and removes its file', async () => {
    leave('killed');
    assert.equal(await look(), false);
    assert.equal(sent.length, 1);
    const [ledger] = sent;
    assert.equal(ledger!.resource.get('azimuth.boot_id'), 'killed');
    assert.equal(ledger!.unixNs, BigInt(LONG_AGO_MS) * 1_000_000n);
    assert.deepEqual(ledger!.ledger, { ...sampleLedger(41), endedByMs: NOW_MS });
    assert.deepEqual(readdirSync(dir.path), []);
    assert.match(lines.join(''), /left no closing ledger/);
  });

  it('takes the time that was noted when it was seen to end', async () => {
    leave('killed', { process: elsewhere() });
    await noteEnd(dir.path, PROXY, 'killed', NOW_MS - 500);
    await look();
    assert.equal(sent[0]!.ledger.endedByMs, NOW_MS - 500);
  });

  it('sends the closing ledger of one that closed while its collector was away', async () => {
    leave('closed', { ledger: { ...sampleLedger(41), closing: true } });
    await noteEnd(dir.path, PROXY, 'closed', NOW_MS);
    await look();
    assert.equal(sent[0]!.ledger.closing, true);
    assert.equal(sent[0]!.ledger.endedByMs, undefined);
  });

  it('leaves a living process alone, however long it was silent, and looks no more for its sake', async () => {
    leave('living', { process: here() });
    assert.equal(await look(), false);
    assert.equal(sent.length, 0);
    assert.equal(readdirSync(dir.path).length, 1);
  });

  it('waits for a process that it cannot see until that was silent for three ledgers', async () => {
    leave('unknown', { process: elsewhere() });
    assert.equal(await look(LONG_AGO_MS + 15_000), true);
    assert.equal(sent.length, 0);
    assert.equal(await look(LONG_AGO_MS + 15_001), false);
    assert.equal(sent[0]!.ledger.endedByMs, LONG_AGO_MS + 15_001);
  });

  it('keeps a file until its statement was acknowledged', async () => {
    leave('killed');
    collectorIsAway = true;
    assert.equal(await look(), true);
    assert.equal(readdirSync(dir.path).length, 1);
    collectorIsAway = false;
    assert.equal(await look(), false);
    assert.equal(sent.length, 1);
  });

  for (const [name, content] of [
    ['torn', JSON.stringify({ write: 3, write_end: 2, resource: { bootId: 'x' } })],
    ['cut short', '{"write": 3, "proc'],
    ['empty', ''],
    ['of other JSON', 'null'],
  ] as const) {
    it(`removes a file that is ${name}, once it has been so for long`, async () => {
      writeFileSync(fileOf('damaged'), content);
      utimesSync(fileOf('damaged'), NOW_MS / 1000, NOW_MS / 1000);
      assert.equal(await look(NOW_MS + 15_000), true);
      assert.equal(readdirSync(dir.path).length, 1);
      assert.equal(await look(NOW_MS + 15_001), false);
      assert.deepEqual(readdirSync(dir.path), []);
      assert.equal(sent.length, 0);
      assert.match(lines.join(''), /damaged/);
    });
  }

  it('touches neither its own file, nor those of other proxies and meshes', async () => {
    leave('own');
    leave('of-mesh', { resource: { ...SAMPLE_RESOURCE, bootId: 'of-mesh', mesh: 'another' } });
    writeFileSync(join(dir.path, counterFileName('other-proxy', 'x')), 'whatever');
    assert.equal(await look(), false);
    assert.equal(sent.length, 0);
    assert.equal(readdirSync(dir.path).length, 3);
  });

  it('does not mind that there is no folder, or nothing to note', async () => {
    await noteEnd(join(dir.path, 'none'), PROXY, 'killed', NOW_MS);
    writeFileSync(fileOf('damaged'), '{');
    await noteEnd(dir.path, PROXY, 'damaged', NOW_MS);
    assert.equal(readFileSync(fileOf('damaged'), 'utf8'), '{');
  });
});
