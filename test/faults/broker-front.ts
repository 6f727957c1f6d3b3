/**
 * A TCP front before one Kafka broker, which makes it slow: what the broker sends comes late, or the
 * bytes to it trickle. The broker advertises this front's port, so that every client meets it.
 */
import { once } from 'node:events';
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';

export interface BrokerFront {
  readonly port: number;
  /** The broker's own port; nobody can connect before it is set. */
  targetPort: number;
  /** Each piece of the broker's answers, as it arrives, is held for so long. */
  delayMs: number;
  /** Bytes a second that each connection may send to the broker. */
  bytesPerS: number;
  stop(): Promise<void>;
}

/** A throttled connection passes so much at a time. */
const PIECE_BYTES = 4_096;

export async function startBrokerFront(): Promise<BrokerFront> {
  const sockets = new Set<Socket>();
  const front = {
    port: 0,
    targetPort: 0,
    delayMs: 0,
    bytesPerS: Infinity,
    async stop() {
      for (const socket of sockets) socket.destroy();
      await new Promise((done) => server.close(done));
    },
  };
  const write = async (to: Socket, bytes: Buffer): Promise<void> => {
    if (!to.write(bytes)) await Promise.race([once(to, 'drain'), once(to, 'close')]);
  };
  const toBroker = async (from: Socket, to: Socket): Promise<void> => {
    for await (const chunk of from as AsyncIterable<Buffer>) {
      for (let at = 0; at < chunk.length; at += PIECE_BYTES) {
        const piece = chunk.subarray(at, at + PIECE_BYTES);
        if (Number.isFinite(front.bytesPerS)) await sleep((piece.length * 1000) / front.bytesPerS);
        await write(to, piece);
      }
    }
  };
  const toClient = async (from: Socket, to: Socket): Promise<void> => {
    for await (const chunk of from as AsyncIterable<Buffer>) {
      if (front.delayMs > 0) await sleep(front.delayMs);
      await write(to, chunk);
    }
  };
  const server: Server = createServer((client) => {
    const broker = connect(front.targetPort, '127.0.0.1');
    for (const [one, other] of [
      [client, broker],
      [broker, client],
    ] as const) {
      sockets.add(one);
      one.setNoDelay(true);
      one.on('error', () => one.destroy());
      one.once('close', () => {
        sockets.delete(one);
        other.destroy();
      });
    }
    const ended = (): void => {
      client.destroy();
      broker.destroy();
    };
    toBroker(client, broker).then(ended, ended);
    toClient(broker, client).then(ended, ended);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  front.port = (server.address() as AddressInfo).port;
  return front;
}
