import assert from 'node:assert/strict';
import net from 'node:net';
import { Doorway, PER_TURN, WAITING_MAX } from '../../../proxy/doorway.ts';

/** The next turn of the event loop is over. */
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

/** Sockets with numbers, and which of them were let in. */
function scene(): { doorway: Doorway; arrive: (count: number) => net.Socket[]; inside: string[] } {
  const inside: string[] = [];
  const doorway = new Doorway((listener) => inside.push(listener));
  let next = 0;
  const arrive = (count: number): net.Socket[] =>
    Array.from({ length: count }, () => {
      const socket = new net.Socket();
      doorway.arrived(String(next++), socket);
      return socket;
    });
  return { doorway, arrive, inside };
}

const numbers = (from: number, to: number): string[] =>
  Array.from({ length: to - from }, (_, i) => String(from + i));

describe('Doorway', () => {
  it('lets a connection that comes alone in at once', () => {
    const { doorway, arrive, inside } = scene();
    arrive(1);
    assert.deepEqual(inside, ['0']);
    assert.equal(doorway.waiting, 0);
  });

  it('lets so many in a turn, the others in further turns, in the order in which they came', async () => {
    const { doorway, arrive, inside } = scene();
    arrive(2 * PER_TURN + 1);
    assert.deepEqual(inside, numbers(0, PER_TURN));
    await turn();
    assert.deepEqual(inside, numbers(0, 2 * PER_TURN));
    assert.equal(doorway.waiting, 1);
    await turn();
    assert.deepEqual(inside, numbers(0, 2 * PER_TURN + 1));
  });

  it('lets nobody past those who wait', async () => {
    const { arrive, inside } = scene();
    arrive(PER_TURN + 1);
    await turn();
    arrive(1);
    arrive(PER_TURN);
    while (inside.length < 2 * PER_TURN + 2) await turn();
    assert.deepEqual(inside, numbers(0, 2 * PER_TURN + 2));
  });

  it('begins anew in a later turn', async () => {
    const { arrive, inside } = scene();
    arrive(PER_TURN);
    await turn();
    arrive(PER_TURN);
    assert.equal(inside.length, 2 * PER_TURN);
  });

  it('keeps nobody waiting beyond its bound', () => {
    const { doorway, arrive, inside } = scene();
    arrive(PER_TURN + WAITING_MAX + 3);
    assert.equal(doorway.waiting, WAITING_MAX);
    assert.equal(inside.length, PER_TURN + 3);
  });

  it('lets nobody in who left meanwhile, also by an error', async () => {
    const { doorway, arrive, inside } = scene();
    const sockets = arrive(PER_TURN + 3);
    sockets[PER_TURN]!.destroy(new Error('reset'));
    sockets[PER_TURN + 1]!.destroy();
    while (doorway.waiting > 0) await turn();
    assert.deepEqual(inside, [...numbers(0, PER_TURN), String(PER_TURN + 2)]);
  });

  it('lets in all at once when nobody is to wait any longer', async () => {
    const { doorway, arrive, inside } = scene();
    arrive(3 * PER_TURN);
    doorway.clear();
    assert.deepEqual(inside, numbers(0, 3 * PER_TURN));
    await turn();
    assert.equal(inside.length, 3 * PER_TURN);
  });
});
