import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { errors } from 'jose';
import { KeySet, KeysUnavailable, type KeySetSettings } from '../../../../proxy/filters/key-set.ts';
import { silentLog } from '../../../../runtime/log.ts';
import { issuerKey, KeyServer, keySetText, type IssuerKey } from '../../../helpers/issuer.ts';
import { scratchDir } from '../../../helpers/scratch-dir.ts';

describe('KeySet', () => {
  let first: IssuerKey;
  let second: IssuerKey;
  let server: KeyServer;
  let keySet: KeySet;
  let nowMs = 0;
  const dir = scratchDir();

  const make = (settings: Partial<KeySetSettings> = {}): KeySet => {
    const all = {
      jwks_url: server.url,
      refresh_s: 300,
      refresh_min_s: 30,
      timeout_ms: 30_000,
      ...settings,
    };
    return new KeySet(all, silentLog, () => nowMs);
  };
  const knows = ({ kid, alg }: IssuerKey): Promise<unknown> => keySet.key({ kid, alg });
  const isUnknown = (key: IssuerKey): Promise<void> =>
    assert.rejects(knows(key), errors.JWKSNoMatchingKey);

  before(async () => {
    [first, second] = [await issuerKey('first'), await issuerKey('second')];
  });
  beforeEach(async () => {
    nowMs = 0;
    server = await new KeyServer(first).start();
    keySet = make();
  });
  afterEach(async () => {
    keySet.close();
    await server.stop();
  });

  it('reads once, however many requests wait for the keys', async () => {
    await Promise.all([knows(first), knows(first), knows(first)]);
    assert.equal(server.requests, 1);
    await knows(first);
    assert.equal(server.requests, 1);
  });

  it('reads anew for a key that it does not know, but not more often than it may', async () => {
    await knows(first);
    server.publish(second);
    nowMs = 29_999;
    await isUnknown(second);
    assert.equal(server.requests, 1);
    nowMs = 30_000;
    await knows(second);
    assert.equal(server.requests, 2);
    // The key that is gone is no longer believed.
    await isUnknown(first);
    assert.equal(server.requests, 2);
    assert.equal(keySet.generation, 2);
  });

  it('keeps what was checked while the same keys come again', async () => {
    await keySet.refresh();
    await keySet.refresh();
    assert.deepEqual([server.requests, keySet.generation], [2, 1]);
  });

  const garbage: readonly (readonly [string, (server: KeyServer) => unknown])[] = [
    ['is dead', (s) => s.stop()],
    ['answers 500', (s) => (s.status = 500)],
    ['answers no JSON', (s) => (s.body = '<html>')],
    ['answers nothing', (s) => (s.body = '')],
    ['answers another JSON', (s) => (s.body = '{"keys":{}}')],
    ['answers null', (s) => (s.body = 'null')],
    ['answers no key', (s) => (s.body = '{"keys":[]}')],
    ['answers keys that are none', (s) => (s.body = '{"keys":[null,1,{"kty":"oct","k":"AA"}]}')],
    ['answers without end', (s) => (s.body = '"' + 'x'.repeat(1_100_000))],
    [
      'redirects',
      (s) => {
        s.status = 302;
        s.headers = { location: s.url };
      },
    ],
  ];
  for (const [what, breakIt] of garbage) {
    it(`keeps the old keys when the server ${what}, and takes new ones when it is well again`, async () => {
      await knows(first);
      await breakIt(server);
      assert.equal(await keySet.refresh(), false);
      assert.equal(keySet.failures, 1);
      await knows(first);
      await server.stop();
      Object.assign(server, { status: 200, headers: {}, body: keySetText(second) });
      await server.start();
      assert.equal(await keySet.refresh(), true);
      await knows(second);
    });
  }

  it('is unavailable while there were never any keys, and asks again after a second', async () => {
    server.status = 503;
    await assert.rejects(knows(first), KeysUnavailable);
    server.status = 200;
    nowMs = 999;
    await assert.rejects(knows(first), KeysUnavailable);
    assert.equal(server.requests, 1);
    nowMs = 1000;
    await knows(first);
  });

  it('gives up on a server that does not answer', async () => {
    server.hangs = true;
    keySet = make({ timeout_ms: 10 });
    await assert.rejects(knows(first), KeysUnavailable);
    assert.equal(keySet.failures, 1);
  });

  it('gives a reading up when it is closed, and says nothing of it', async () => {
    server.hangs = true;
    const waiting = assert.rejects(knows(first), KeysUnavailable);
    keySet.close();
    await waiting;
    assert.equal(keySet.failures, 0);
  });

  it('reads a file as it reads a server', async () => {
    const file = join(dir.path, 'keys.json');
    keySet = make({ jwks_url: undefined, jwks_file: file });
    await assert.rejects(knows(first), KeysUnavailable);
    await writeFile(file, keySetText(first));
    nowMs = 1000;
    await knows(first);
    await writeFile(file, keySetText(second));
    nowMs = 31_000;
    await knows(second);
  });
});
