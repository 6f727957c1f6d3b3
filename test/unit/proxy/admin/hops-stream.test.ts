import assert from 'node:assert/strict';
import { once } from 'node:events';
import { get, type IncomingMessage } from 'node:http';
import type { FeedEvent, HopEvent } from '../../../../proxy/admin/hop-feed.ts';
import { HopsStream, READERS_MAX } from '../../../../proxy/admin/hops-stream.ts';
import type { Member, Members } from '../../../../proxy/workers/snapshots.ts';
import { createHttpApp, type HttpAppServer } from '../../../../runtime/http-app.ts';

const WORKER: Member = { worker: 0, pid: 1, boot_id: 'b0' };
const OTHER: Member = { worker: 1, pid: 2, boot_id: 'b1' };

/** Processes that send what the test gives them. */
class FakeMembers implements Members {
  readonly followers = new Set<(event: unknown, from: Member) => void>();
  readonly filters: unknown[] = [];

  ask(): Promise<never[]> {
    return Promise.resolve([]);
  }

  follow(_: string, filter: unknown, onEvent: (event: unknown, from: Member) => void) {
    this.filters.push(filter);
    this.followers.add(onEvent);
    return () => void this.followers.delete(onEvent);
  }

  send(hop: object, leftOut = 0, from = WORKER): void {
    const event: FeedEvent = { hop: hop as HopEvent, left_out: leftOut };
    for (const follower of this.followers) follower(event, from);
  }
}

describe('HopsStream', () => {
  let members: FakeMembers;
  let stream: HopsStream;
  let app: HttpAppServer;

  beforeEach(async () => {
    members = new FakeMembers();
    // No heartbeat: tests send it what they want.
    stream = new HopsStream(members, 2 ** 31 - 1);
    app = createHttpApp('test', {
      host: '127.0.0.1',
      port: 0,
      routes: (routes) => routes.get('/hops', (req, res) => stream.serve(req, res)),
    });
    await app.start();
  });
  afterEach(() => app.stop());

  async function read(query = ''): Promise<IncomingMessage> {
    const request = get(`http://127.0.0.1:${app.port()}/hops${query}`);
    request.on('error', () => undefined);
    const [response] = (await once(request, 'response')) as [IncomingMessage];
    response.on('error', () => undefined);
    return response;
  }

  async function until(response: IncomingMessage, text: string): Promise<string> {
    let all = '';
    response.setEncoding('utf8');
    for await (const part of response.iterator({ destroyOnReturn: false })) {
      all += part as string;
      if (all.includes(text)) return all;
    }
    throw new Error(`ended before ${text}: ${all}`);
  }

  it('sends each hop as an event with the number of its worker', async () => {
    const response = await read('?route=/a&errors');
    assert.equal(response.headers['content-type'], 'text/event-stream');
    assert.deepEqual(members.filters, [
      { routes: ['/a'], statuses: [], slower_than_ms: 0, errors: true },
    ]);
    members.send({ seq: 1 }, 0, OTHER);
    const text = await until(response, '"seq":1');
    assert.match(text, /event: hop\ndata: \{"worker":1,"seq":1\}\n\n/);
    assert.equal(stream.counts().readers, 1);
  });

  it('follows nothing any more when its reader is gone', async () => {
    const response = await read();
    const [unfollowed] = [...members.followers];
    response.destroy();
    while (members.followers.has(unfollowed!)) {
      await new Promise((resolve) => setImmediate(resolve));
    }
    while (stream.counts().readers > 0) await new Promise((resolve) => setImmediate(resolve));
  });

  it('leaves out what a reader does not take, keeps little for it, and tells it how much', async () => {
    const response = await read();
    response.pause();
    const big = 'x'.repeat(10_000);
    // More than any socket buffers take: what waits in this process must not grow with it.
    const sent = 5_000;
    for (let i = 0; i < sent; i++) {
      members.send({ big });
      if (i % 100 === 0) await new Promise((resolve) => setImmediate(resolve));
    }
    const { leftOut } = stream.counts();
    assert.ok(leftOut > 0);
    let got = 0;
    let text = '';
    response.setEncoding('utf8');
    response.on('data', (part: string) => {
      text = (text + part).slice(-100_000);
      got += part.split('event: hop').length - 1;
    });
    response.resume();
    // Once it reads again it is told, before the next hop.
    while (!text.includes('"seq":"last"')) {
      members.send({ seq: 'last' });
      await new Promise((resolve) => setImmediate(resolve));
    }
    const told = /event: left_out\ndata: \{"left_out":([0-9]+)\}/.exec(text);
    assert.ok(told !== null, text.slice(-300));
    assert.ok(Number(told[1]) >= leftOut);
    assert.ok(got < sent, `${got} of ${sent}`);
  });

  it('adds up what the processes left out, each by its own count', async () => {
    const response = await read();
    members.send({ seq: 1 }, 3, WORKER);
    members.send({ seq: 2 }, 4, OTHER);
    members.send({ seq: 3 }, 5, WORKER);
    const text = await until(response, '"seq":3');
    const told = [...text.matchAll(/"left_out":([0-9]+)/g)].map(([, count]) => Number(count));
    assert.deepEqual(told, [3, 7, 9]);
    assert.equal(stream.counts().leftOut, 9);
  });

  it('refuses a filter that it does not understand', async () => {
    const response = await read('?status=9xx');
    assert.equal(response.statusCode, 400);
    assert.match(await until(response, '}'), /status 9xx is neither/);
    assert.equal(members.followers.size, 0);
  });

  it('turns away a reader when there are enough, and takes one again when one is gone', async () => {
    const readers = await Promise.all(Array.from({ length: READERS_MAX }, () => read()));
    const refused = await read();
    assert.equal(refused.statusCode, 503);
    assert.equal(refused.headers['retry-after'], '5');
    refused.resume();
    assert.deepEqual(stream.counts(), { readers: READERS_MAX, leftOut: 0, turnedAway: 1 });
    readers[0]!.destroy();
    while (stream.counts().readers === READERS_MAX) {
      await new Promise((resolve) => setImmediate(resolve));
    }
    assert.equal((await read()).statusCode, 200);
  });
});
