import assert from 'node:assert/strict';
import { createServer, type RequestListener, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { runLoad } from '../../../demo/load.ts';
import { shopRequest } from '../../../demo/shop/behaviour.ts';
import { FAULT_HEADER, REQUEST_NUMBER_HEADER } from '../../../demo/shop/seeded.ts';

describe('runLoad', () => {
  let server: Server;
  const serve = async (listener: RequestListener): Promise<string> => {
    server = createServer(listener);
    await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
    return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  };
  afterEach(() => {
    server.close();
    server.closeAllConnections();
  });

  it('sends each numbered request of the seed once and counts the answers', async () => {
    const seen: string[] = [];
    const url = await serve((req, res) => {
      seen[Number(req.headers[REQUEST_NUMBER_HEADER])] = `${req.method ?? ''} ${req.url ?? ''}`;
      req.resume().on('end', () => res.end('ok'));
    });
    let firstAnswers = 0;
    const result = await runLoad({
      url,
      ratePerS: 5000,
      count: 60,
      seed: 7,
      firstNumber: 100,
      onFirstAnswer: () => firstAnswers++,
    });
    assert.equal(result.sent, 60);
    assert.equal(result.answered, 60);
    assert.equal(result.errors, 0);
    assert.equal(firstAnswers, 1);
    for (let n = 100; n < 160; n++) {
      const { method, path } = shopRequest(7, n);
      assert.equal(seen[n], `${method} ${path}`);
    }
  });

  it('tells failures that the shop made up from errors', async () => {
    let answers = 0;
    const url = await serve((req, res) => {
      req.resume();
      const n = answers++;
      if (n === 0) res.writeHead(503, { [FAULT_HEADER]: 'made-up' }).end();
      else if (n === 1) res.writeHead(502).end();
      else if (n === 2) res.destroy();
      else res.end('ok');
    });
    const result = await runLoad({ url, ratePerS: 1000, count: 10, seed: 1 });
    assert.equal(result.faultsMadeUp, 1);
    assert.equal(result.errors, 2);
    assert.equal(result.answered, 9);
    assert.equal(
      [...result.errorKinds.values()].reduce((a, b) => a + b),
      2,
    );
  });

  it('counts latency from when a request was due, so that a stall shows in those that it held up', async () => {
    // Nothing is answered until all five are there: the last is due 40 ms after the first, and
    // sent a millisecond before that at the earliest.
    const waiting: (() => void)[] = [];
    const url = await serve((req, res) => {
      req.resume();
      waiting.push(() => void res.end('ok'));
      if (waiting.length === 5) for (const answer of waiting) answer();
    });
    const result = await runLoad({ url, ratePerS: 100, count: 5, seed: 1 });
    assert.equal(result.answered, 5);
    assert.ok(result.maxMs >= 39, `the first waited for the last: ${result.maxMs} ms`);
  });

  it('ends at the signal and waits for what is under way', async () => {
    const stop = new AbortController();
    const url = await serve((req, res) => {
      req.resume();
      stop.abort();
      res.end('ok');
    });
    const result = await runLoad({
      url,
      ratePerS: 1000,
      count: undefined,
      seed: 1,
      signal: stop.signal,
    });
    assert.ok(result.sent >= 1);
    assert.equal(result.answered, result.sent);
  });

  it('counts requests that found no server as errors', async () => {
    const url = await serve(() => undefined);
    server.close();
    const result = await runLoad({ url, ratePerS: 1000, count: 3, seed: 1 });
    assert.equal(result.sent, 3);
    assert.equal(result.answered, 0);
    assert.equal(result.errors, 3);
  });
});
