import assert from 'node:assert/strict';
import { once } from 'node:events';
import net from 'node:net';
import tls from 'node:tls';
import { waitingBytes, writeText } from '../../../../proxy/codec/output.ts';
import { certificate, newAuthority } from '../../../helpers/identities.ts';

/** A socket to write to, and what arrives at its other end. */
interface Wire {
  readonly socket: net.Socket;
  readonly received: () => string;
  readonly close: () => void;
}

async function wire(server: net.Server, connect: (port: number) => net.Socket): Promise<Wire> {
  let received = '';
  server.on(server instanceof tls.Server ? 'secureConnection' : 'connection', (s: net.Socket) =>
    s.on('data', (bytes: Buffer) => (received += bytes.toString('latin1'))),
  );
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const socket = connect((server.address() as net.AddressInfo).port);
  await once(socket, socket instanceof tls.TLSSocket ? 'secureConnect' : 'connect');
  return {
    socket,
    received: () => received,
    close: () => {
      socket.destroy();
      server.close();
    },
  };
}

describe('writeText', () => {
  const wires: Wire[] = [];
  afterEach(() => wires.splice(0).forEach(({ close }) => close()));

  it('may use its scratch again at once, over TLS as over TCP', async () => {
    const own = await certificate(await newAuthority(), 'orders');
    for (let n = 0; n < 2; n++) {
      const secure = tls.createServer({ cert: own.cert, key: own.key });
      const options = { host: '127.0.0.1', rejectUnauthorized: false };
      wires.push(
        await wire(secure, (port) => tls.connect({ port, ...options })),
        await wire(net.createServer(), (port) => net.connect(port, '127.0.0.1')),
      );
    }
    // Each overwrites what the one before wrote, in the same turn; the second round meets writes
    // of which TLS has not told yet.
    const texts = wires.map((_, index) => String.fromCharCode(97 + index).repeat(90_000));
    for (let round = 0; round < 2; round++) {
      wires.forEach(({ socket }, index) => writeText(socket, texts[index]!));
    }
    for (const [index, { received }] of wires.entries()) {
      while (received().length < 180_000) await new Promise((r) => setImmediate(r));
      assert.equal(received(), texts[index]! + texts[index]!);
    }
  });

  it('counts a little under TLS as taken, and a lot as waiting until the next turn', async () => {
    const own = await certificate(await newAuthority(), 'orders');
    const secure = tls.createServer({ cert: own.cert, key: own.key });
    wires.push(
      await wire(secure, (port) =>
        tls.connect({ port, host: '127.0.0.1', rejectUnauthorized: false }),
      ),
    );
    const { socket } = wires[0]!;
    writeText(socket, 'x'.repeat(1_000));
    assert.equal(waitingBytes(socket), 0);
    writeText(socket, 'x'.repeat(20_000));
    assert.equal(waitingBytes(socket), 21_000);
  });
});
