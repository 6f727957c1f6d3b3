import assert from 'node:assert/strict';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { AzimuthError } from '../../../runtime/errors.ts';
import { createStoreClient, type StoreClient } from '../../../store/client.ts';

describe('StoreClient', () => {
  let server: Server;
  let client: StoreClient;
  /** What the fake store answers next; undefined closes the connection. */
  let answer: { status: number; body: string } | undefined;
  let seen: { url: URL; body: string }[];

  before(async () => {
    server = createServer((req, res) => {
      const chunks: Buffer[] = [];
      req.on('data', (chunk: Buffer) => chunks.push(chunk));
      req.on('end', () => {
        seen.push({
          url: new URL(req.url ?? '/', 'http://store'),
          body: Buffer.concat(chunks).toString('latin1'),
        });
        if (answer === undefined) req.socket.destroy();
        else res.writeHead(answer.status).end(answer.body);
      });
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const { port } = server.address() as AddressInfo;
    client = createStoreClient({
      url: `http://127.0.0.1:${port}`,
      database: 'shop',
      user: 'u',
      password: 'p',
    });
  });
  after(async () => {
    await client.close();
    await new Promise((resolve) => server.close(resolve));
  });
  beforeEach(() => {
    seen = [];
    answer = { status: 200, body: '' };
  });

  const failsAs = async (code: string, retryable: boolean): Promise<void> => {
    await assert.rejects(client.command('SELECT 1'), (error: unknown) => {
      assert.ok(error instanceof AzimuthError);
      assert.deepEqual([error.code, error.retryable], [code, retryable], error.message);
      return true;
    });
  };

  it('takes overload, deadlines, a full disk and a starting store for passing', async () => {
    for (const code of [159, 202, 209, 210, 241, 243, 252, 319, 425, 999]) {
      answer = { status: 500, body: `Code: ${code}. DB::Exception: busy. (NAME) (version 1)\n` };
      await failsAs('AZ_STORE_UNAVAILABLE', true);
    }
  });

  it('takes every other code for final', async () => {
    for (const code of [27, 47, 60, 62, 497, 516]) {
      answer = { status: 400, body: `Code: ${code}. DB::Exception: no. (NAME) (version 1)\n` };
      await failsAs('AZ_STORE_REFUSED', false);
    }
  });

  it('takes a broken connection and an answer that is not the store’s for passing', async () => {
    answer = undefined;
    await failsAs('AZ_STORE_UNAVAILABLE', true);
    answer = { status: 502, body: '<html>Bad Gateway</html>' };
    await failsAs('AZ_STORE_UNAVAILABLE', true);
  });

  it('sends a Native block as it is, behind the statement in the URL', async () => {
    const block = Buffer.from([0, 10, 10, 255, 0]);
    await client.insertNative('spans', block, { token: 't1' });
    const { url, body } = seen[0]!;
    assert.equal(url.searchParams.get('query'), 'INSERT INTO spans FORMAT Native');
    assert.equal(url.searchParams.get('insert_deduplication_token'), 't1');
    assert.equal(url.searchParams.get('database'), 'shop');
    assert.equal(body, block.toString('latin1'));
  });

  it('takes no 200 for stored that has an exception inside', async () => {
    const insert = (): Promise<void> => client.insertNative('spans', Buffer.from([0]));
    for (const [body, code] of [
      ['Code: 241. DB::Exception: Memory limit. (MEMORY_LIMIT_EXCEEDED)\n', 'AZ_STORE_UNAVAILABLE'],
      ['Code: 27. DB::Exception: no. (CANNOT_PARSE_INPUT_ASSERTION_FAILED)\n', 'AZ_STORE_REFUSED'],
      [
        '\r\n__exception__\r\nabcdefghijklmnop\r\nCode: 252. DB::Exception: Too many parts. (TOO_MANY_PARTS)\n81 abcdefghijklmnop\r\n__exception__\r\n',
        'AZ_STORE_UNAVAILABLE',
      ],
      ['<html>a proxy that means well</html>', 'AZ_STORE_UNAVAILABLE'],
    ] as const) {
      answer = { status: 200, body };
      await assert.rejects(insert(), { code });
    }
    answer = { status: 200, body: '' };
    await insert();
  });

  it('never throws from ping', async () => {
    answer = { status: 500, body: 'Code: 1. DB::Exception: no. (NAME)' };
    assert.equal(await client.ping(), false);
    answer = undefined;
    assert.equal(await client.ping(), false);
  });
});
