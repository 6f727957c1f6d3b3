import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { AzimuthError } from '../../../runtime/errors.ts';
import { createHttpApp, listen, type HttpAppSettings } from '../../../runtime/http-app.ts';

/** Runs the application on a free port for one use. */
async function served(
  settings: Omit<HttpAppSettings, 'host' | 'port'>,
  use: (url: string) => Promise<void>,
): Promise<void> {
  const app = createHttpApp('test', { host: '127.0.0.1', port: 0, ...settings });
  await app.start();
  try {
    await use(`http://127.0.0.1:${app.port()}`);
  } finally {
    await app.stop();
  }
}

describe('createHttpApp', () => {
  it('answers /healthz and /readyz with 200 while nothing is wrong', async () => {
    await served({}, async (url) => {
      for (const path of ['/healthz', '/readyz']) {
        const response = await fetch(url + path);
        assert.equal(response.status, 200);
        assert.equal(await response.text(), 'ok\n');
      }
    });
  });

  it('answers 503 with the reason while it is not ready, and stays healthy', async () => {
    let reason: string | undefined = 'the store is away';
    await served({ notReady: () => reason }, async (url) => {
      const response = await fetch(`${url}/readyz`);
      assert.equal(response.status, 503);
      assert.equal(await response.text(), 'the store is away\n');
      assert.equal((await fetch(`${url}/healthz`)).status, 200);
      reason = undefined;
      assert.equal((await fetch(`${url}/readyz`)).status, 200);
    });
  });

  it('answers 503 on /healthz when it should be restarted', async () => {
    await served({ unhealthy: () => 'wedged' }, async (url) => {
      assert.equal((await fetch(`${url}/healthz`)).status, 503);
    });
  });

  it('answers a path that it does not have with 404 and JSON', async () => {
    await served({}, async (url) => {
      const response = await fetch(`${url}/nothing/here`);
      assert.equal(response.status, 404);
      assert.deepEqual(await response.json(), { error: 'nothing is at /nothing/here' });
    });
  });

  it('maps a known error to its status and code, another to 500', async () => {
    await served(
      {
        routes: (app) => {
          app.get('/known', () => {
            throw new AzimuthError('AZ_STORE_UNAVAILABLE', 'the store is away');
          });
          app.get('/async', () => Promise.reject(new Error('surprise')));
          app.get('/thrown', () => {
            // Not an Error, as a careless library may throw.
            // eslint-disable-next-line @typescript-eslint/only-throw-error
            throw { status: 418 };
          });
        },
      },
      async (url) => {
        const known = await fetch(`${url}/known`);
        assert.equal(known.status, 503);
        assert.deepEqual(await known.json(), {
          error: 'the store is away',
          code: 'AZ_STORE_UNAVAILABLE',
        });
        const surprise = await fetch(`${url}/async`);
        assert.equal(surprise.status, 500);
        assert.deepEqual(await surprise.json(), { error: 'surprise' });
        const thrown = await fetch(`${url}/thrown`);
        assert.equal(thrown.status, 418);
        assert.deepEqual(await thrown.json(), { error: 'failed' });
      },
    );
  });

  it('closes the connection when an error comes after the head was sent', async () => {
    await served(
      {
        routes: (app) => {
          app.get('/late', (_req, res) => {
            res.write('half of it');
            throw new Error('too late');
          });
        },
      },
      async (url) => {
        await assert.rejects(async () => (await fetch(`${url}/late`)).text());
      },
    );
  });

  it('does not say which framework answers', async () => {
    await served({}, async (url) => {
      assert.equal((await fetch(`${url}/healthz`)).headers.get('x-powered-by'), null);
    });
  });

  it('may be stopped before it was started, and twice', async () => {
    const app = createHttpApp('test', { host: '127.0.0.1', port: 0 });
    await app.stop();
    await app.start();
    await app.stop();
    await app.stop();
  });
});

describe('listen', () => {
  it('names the port that is taken and what to do', async () => {
    const first = createServer();
    await listen(first, '127.0.0.1', 0);
    const { port } = first.address() as AddressInfo;
    try {
      await assert.rejects(listen(createServer(), '127.0.0.1', port), (error: unknown) => {
        assert.ok(error instanceof AzimuthError);
        assert.equal(error.code, 'AZ_PORT_IN_USE');
        assert.match(error.message, new RegExp(`^127\\.0\\.0\\.1:${port} is taken.*another port$`));
        return true;
      });
    } finally {
      await new Promise((resolve) => first.close(resolve));
    }
  });

  it('hands on any other error as it is', async () => {
    await assert.rejects(
      listen(createServer(), '203.0.113.7', 0),
      (error: unknown) => !(error instanceof AzimuthError),
    );
  });
});
