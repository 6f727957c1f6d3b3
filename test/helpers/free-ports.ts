/**
 * Ports that were free a moment ago, all different: for programs of their own processes, which
 * cannot be asked which port they chose. Below the range from which the system gives ports to
 * connections, so that none of those takes one before its program listens.
 */
import { createServer, type Server } from 'node:net';

/** Linux gives out 32768 and up; services that are known by their port stand lower. */
const RANGE = { from: 20_000, to: 32_000 } as const;

export async function freePorts(count: number): Promise<number[]> {
  const held = new Map<number, Server>();
  while (held.size < count) {
    const port = RANGE.from + Math.floor(Math.random() * (RANGE.to - RANGE.from));
    if (held.has(port)) continue;
    const server = await hold(port);
    if (server !== undefined) held.set(port, server);
  }
  await Promise.all([...held.values()].map((server) => new Promise((done) => server.close(done))));
  return [...held.keys()];
}

function hold(port: number): Promise<Server | undefined> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => resolve(undefined));
    server.listen(port, '127.0.0.1', () => resolve(server));
  });
}
