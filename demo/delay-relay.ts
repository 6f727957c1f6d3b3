/**
 * A TCP relay that holds back what a client sends: the wire between two proxies made slower by a
 * known amount, so that one can see whether a measurement of that wire finds it. Answers pass at
 * once. It knows nothing of HTTP: it delays what one read brings, which for a small request on a
 * connection without pipelining is the request.
 */
import { once } from 'node:events';
import { connect, createServer, type AddressInfo, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';

export interface DelayRelay {
  /** On 127.0.0.1. */
  readonly port: number;
  /** What each delay really took, milliseconds. */
  readonly waitedMs: readonly number[];
  stop(): void;
}

/** Relays to `port` of this machine; `nextDelayMs` is asked at each read how long to hold it back. */
export async function startDelayRelay(
  port: number,
  nextDelayMs: () => number,
): Promise<DelayRelay> {
  const waitedMs: number[] = [];
  const sockets = new Set<Socket>();
  const server = createServer((client) => {
    const upstream = connect({ host: '127.0.0.1', port, noDelay: true });
    client.setNoDelay(true);
    for (const [socket, other] of [
      [client, upstream],
      [upstream, client],
    ] as const) {
      sockets.add(socket);
      // An error is told by the close that follows it.
      socket.on('error', () => undefined);
      socket.on('close', () => {
        sockets.delete(socket);
        other.destroy();
      });
    }
    upstream.pipe(client);
    client.on('data', (bytes) => {
      const delayMs = nextDelayMs();
      if (delayMs <= 0) {
        upstream.write(bytes);
        return;
      }
      // Paused, so that what comes later stays behind.
      client.pause();
      const fromMs = performance.now();
      void sleep(delayMs).then(() => {
        waitedMs.push(performance.now() - fromMs);
        upstream.write(bytes);
        client.resume();
      });
    });
    client.on('end', () => upstream.end());
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    port: (server.address() as AddressInfo).port,
    waitedMs,
    stop() {
      server.close();
      for (const socket of sockets) socket.destroy();
    },
  };
}
