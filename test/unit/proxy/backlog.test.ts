import assert from 'node:assert/strict';
import { once } from 'node:events';
import net from 'node:net';
import { ProcessLoad } from '../../../proxy/admission.ts';
import { Backlog } from '../../../proxy/backlog.ts';
import { DEFAULT_LIMITS } from '../../../proxy/limits.ts';

/** Runs `body` with a connection whose far side reads only when told to. */
async function withPair(body: (near: net.Socket, far: net.Socket) => Promise<void>): Promise<void> {
  const server = net.createServer({ pauseOnConnect: true }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const accepted = once(server, 'connection') as Promise<[net.Socket]>;
  const near = net.connect((server.address() as net.AddressInfo).port, '127.0.0.1');
  const [far] = await accepted;
  try {
    await body(near, far);
  } finally {
    near.destroy();
    far.destroy();
    server.close();
  }
}

/** More than the kernel takes. */
const MUCH = 33_554_432;

describe('Backlog of a socket', () => {
  it('counts what waits until the peer has taken it, later writes included', () =>
    withPair(async (near, far) => {
      const load = new ProcessLoad(DEFAULT_LIMITS, Infinity);
      const backlog = new Backlog(load);
      near.write(Buffer.alloc(MUCH));
      backlog.watch(near);
      near.write(Buffer.alloc(1_000));
      backlog.watch(near);
      assert.equal(load.heldBytes, MUCH + 1_000);
      near.end();
      far.resume();
      await once(far, 'end');
      if (load.heldBytes > 0) await once(near, 'finish');
      assert.equal(load.heldBytes, 0);
    }));

  it('counts a little at the end of a write as all that it keeps in memory', () =>
    withPair((near) => {
      const load = new ProcessLoad(DEFAULT_LIMITS, Infinity);
      near.cork();
      near.write('a few bytes');
      new Backlog(load).watch(near);
      assert.equal(load.heldBytes, 98_304);
      return Promise.resolve();
    }));

  it('gives all back when it is released, once', () =>
    withPair((near) => {
      const load = new ProcessLoad(DEFAULT_LIMITS, Infinity);
      const backlog = new Backlog(load);
      near.write(Buffer.alloc(MUCH));
      backlog.watch(near);
      backlog.release();
      backlog.release();
      assert.deepEqual([load.heldBytes, load.heldPeakBytes], [0, MUCH]);
      return Promise.resolve();
    }));
});
