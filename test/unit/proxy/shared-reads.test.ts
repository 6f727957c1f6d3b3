import assert from 'node:assert/strict';
import { once } from 'node:events';
import net from 'node:net';
import { Reading } from '../../../proxy/shared-reads.ts';
import { until } from '../../helpers/until.ts';

/** A server whose connections come paused or not, and a client of it. */
class Scene {
  readonly server: net.Server;
  readonly clients: net.Socket[] = [];

  constructor(pauseOnConnect: boolean) {
    this.server = net.createServer({ allowHalfOpen: true, pauseOnConnect });
  }

  async start(): Promise<this> {
    this.server.listen(0, '127.0.0.1');
    await once(this.server, 'listening');
    return this;
  }

  /** A client, and its connection as it was accepted. */
  async connection(): Promise<{ client: net.Socket; accepted: net.Socket }> {
    const { port } = this.server.address() as net.AddressInfo;
    const client = net.connect(port, '127.0.0.1');
    this.clients.push(client);
    const [[accepted]] = await Promise.all([
      once(this.server, 'connection') as Promise<[net.Socket]>,
      once(client, 'connect'),
    ]);
    return { client, accepted };
  }

  stop(): void {
    for (const client of this.clients) client.destroy();
    this.server.close();
  }
}

/** What was taken: text, and the buffers in which it came. */
function taker(): { take: (b: Buffer, n: number) => void; text: () => string; seen: Set<Buffer> } {
  let text = '';
  const seen = new Set<Buffer>();
  const take = (b: Buffer, n: number): void => {
    seen.add(b);
    text += b.toString('latin1', 0, n);
  };
  return { take, text: () => text, seen };
}

for (const pauseOnConnect of [true, false]) {
  describe(`Reading of a connection that comes ${pauseOnConnect ? 'paused' : 'reading'}`, () => {
    let scene: Scene;
    beforeEach(async () => {
      scene = await new Scene(pauseOnConnect).start();
    });
    afterEach(() => scene.stop());

    // The one that fails where a version of Node no longer lets us: all others hold without it.
    it('goes through one buffer for all of them', async () => {
      const { take, text, seen } = taker();
      for (const word of ['one ', 'two ', 'three']) {
        const { client, accepted } = await scene.connection();
        const { socket } = new Reading(accepted, false, take);
        client.write(word);
        await until(() => text().endsWith(word));
        socket.destroy();
      }
      assert.equal(text(), 'one two three');
      assert.equal(seen.size, 1);
    });

    it('begins with what was read before', async () => {
      const { client, accepted } = await scene.connection();
      client.write('before ');
      accepted.read(0);
      await until(() => accepted.readableLength > 0);
      client.write('after');
      const { take, text } = taker();
      const { socket } = new Reading(accepted, false, take);
      assert.equal(text(), '', 'not before the constructor is through');
      await until(() => text() === 'before after');
      socket.destroy();
    });

    it('ends with the client, also where that was seen before', async () => {
      for (const isSeen of [false, true]) {
        const { client, accepted } = await scene.connection();
        client.end('last words');
        if (isSeen) {
          accepted.read(0);
          await until(() => accepted.readableLength > 0);
          await new Promise((resolve) => setTimeout(resolve, 20));
        }
        const { take, text } = taker();
        const { socket } = new Reading(accepted, false, take);
        await once(socket, 'end');
        assert.equal(text(), 'last words');
        assert.equal(socket.writable, true, 'the other direction is open still');
        socket.destroy();
      }
    });

    it('stops and goes on', async () => {
      const { client, accepted } = await scene.connection();
      const { take, text } = taker();
      const { socket } = new Reading(accepted, false, take);
      client.write('a');
      await until(() => text() === 'a');
      socket.pause();
      client.write('b');
      await new Promise((resolve) => setTimeout(resolve, 20));
      assert.equal(text(), 'a');
      socket.resume();
      await until(() => text() === 'ab');
      socket.destroy();
    });

    it('keeps nothing and nobody that took or listened, once let go', async () => {
      const { client, accepted } = await scene.connection();
      const { take, text } = taker();
      const reading = new Reading(accepted, false, take);
      client.write('a');
      await until(() => text() === 'a');
      reading.socket.on('drain', () => undefined);
      reading.end();
      assert.deepEqual(reading.socket.eventNames(), ['error']);
      client.write('b');
      await new Promise((resolve) => setTimeout(resolve, 20));
      assert.equal(text(), 'a');
      reading.socket.destroy();
    });

    it('answers over the socket that it names, and closes with it', async () => {
      const { client, accepted } = await scene.connection();
      const { socket } = new Reading(accepted, false, () => undefined);
      assert.equal(socket.remotePort, client.localPort);
      socket.write('answer');
      const [bytes] = (await once(client, 'data')) as [Buffer];
      assert.equal(bytes.toString(), 'answer');
      socket.destroy();
      await once(client, 'close');
      const open = await new Promise((resolve, reject) =>
        scene.server.getConnections((error, count) => (error ? reject(error) : resolve(count))),
      );
      assert.equal(open, 0, 'the server does not wait for it');
    });

    it('comes as events where what is read must be decrypted first', async () => {
      const { client, accepted } = await scene.connection();
      const { take, text } = taker();
      const { socket } = new Reading(accepted, true, take);
      assert.equal(socket, accepted);
      client.write('x');
      await until(() => text() === 'x');
      socket.destroy();
    });

    it('of a connection that is gone already does nothing', async () => {
      const { accepted } = await scene.connection();
      accepted.destroy();
      const { take, text } = taker();
      assert.equal(new Reading(accepted, false, take).socket, accepted);
      await once(accepted, 'close');
      assert.equal(text(), '');
    });
  });
}
