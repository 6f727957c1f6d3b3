/** `azimuth decode` as people call it: real bytes in, text or JSON lines out, faults named. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const AZIMUTH = fileURLToPath(new URL('../../../bin/azimuth.js', import.meta.url));
const FIXTURE = fileURLToPath(new URL('../../fixtures/kafka/proto_none-0.bin', import.meta.url));

const decode = (args: readonly string[], input?: Buffer) =>
  spawnSync(process.execPath, [AZIMUTH, 'decode', ...args], { input, encoding: 'utf8' });

describe('azimuth decode', function () {
  this.timeout(20_000);

  it('prints the spans of a stock Collector message for people', () => {
    const { status, stdout } = decode([FIXTURE]);
    assert.equal(status, 0);
    assert.equal(stdout.match(/GET \/cart\/:id/g)?.length, 3);
  });

  it('prints one JSON object a line with --json, also from standard input', () => {
    const { status, stdout } = decode(['-', '--json'], readFileSync(FIXTURE));
    assert.equal(status, 0);
    const lines = stdout
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line) as { name: string });
    assert.equal(lines.length, 6);
  });

  it('prints a packed hop', () => {
    const { status, stdout } = decode([
      '--hop',
      '0102914e81f10491bf05a1ef8902e994970285c29002',
      '--json',
    ]);
    assert.equal(status, 0);
    assert.equal((JSON.parse(stdout) as { seq: number }).seq, 2);
  });

  it('says what is wrong with bytes that are not OTLP, and where', () => {
    const folder = mkdtempSync(join(tmpdir(), 'azimuth-decode-'));
    try {
      const file = join(folder, 'cut.bin');
      writeFileSync(file, readFileSync(FIXTURE).subarray(0, 200));
      const { status, stderr } = decode([file]);
      assert.notEqual(status, 0);
      assert.match(stderr, /at byte \d+/);
      assert.match(stderr, /cut\.bin/);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});
