import assert from 'node:assert/strict';
import { setImmediate } from 'node:timers/promises';
import {
  Deadlines,
  FIRED_PER_TURN,
  NEVER,
  TICK_MS,
  type Deadlined,
} from '../../../proxy/deadlines.ts';

class Entry implements Deadlined {
  deadline = NEVER;
  deadlineIndex = -1;
  fired = 0;
  onDeadline(): void {
    this.fired++;
  }
}

describe('Deadlines', () => {
  it('fires once, never early', () => {
    const deadlines = new Deadlines();
    const entry = new Entry();
    deadlines.add(entry);
    entry.deadline = deadlines.in(1000);
    for (let ms = 0; ms < 1000 - TICK_MS; ms += TICK_MS) {
      deadlines.tick++;
    }
    deadlines.advance(0);
    assert.equal(entry.fired, 0);
    deadlines.advance(2 * TICK_MS);
    assert.equal(entry.fired, 1);
    deadlines.advance(10_000);
    assert.equal(entry.fired, 1);
  });

  it('takes a later deadline by a plain store', () => {
    const deadlines = new Deadlines();
    const entry = new Entry();
    deadlines.add(entry);
    entry.deadline = deadlines.in(200);
    entry.deadline = deadlines.in(5000);
    deadlines.advance(1000);
    assert.equal(entry.fired, 0);
    entry.deadline = deadlines.in(100);
    deadlines.advance(100);
    assert.equal(entry.fired, 1);
  });

  it('looks at every entry though some remove themselves and others while it looks', () => {
    const deadlines = new Deadlines();
    const entries = Array.from({ length: 10 }, () => new Entry());
    for (const entry of entries) {
      deadlines.add(entry);
      entry.deadline = deadlines.in(100);
    }
    const [first, , third] = entries;
    third!.onDeadline = () => {
      third!.fired++;
      deadlines.remove(third!);
      deadlines.remove(entries[9]!);
      deadlines.remove(entries[9]!);
    };
    first!.onDeadline = () => {
      first!.fired++;
      deadlines.remove(first!);
    };
    deadlines.advance(100);
    assert.deepEqual(
      entries.map((e) => e.fired),
      Array<number>(10).fill(1),
    );
    for (const entry of entries) entry.deadline = deadlines.in(100);
    deadlines.advance(100);
    assert.deepEqual(
      entries.map((e) => e.fired),
      [1, 2, 1, 2, 2, 2, 2, 2, 2, 1],
    );
  });

  it('lets others have their turn where many deadlines pass in one tick', async () => {
    const deadlines = new Deadlines();
    const entries = Array.from({ length: 5 * FIRED_PER_TURN + 1 }, () => new Entry());
    for (const entry of entries) {
      deadlines.add(entry);
      entry.deadline = deadlines.tick + 1;
    }
    // One that fires takes itself out and one that still waits, as a connection closes others.
    const [removed, remover] = [entries[0]!, entries.at(-1)!];
    remover.onDeadline = () => {
      remover.fired++;
      deadlines.remove(remover);
      deadlines.remove(removed);
    };
    const fired = (): number => entries.reduce((sum, entry) => sum + entry.fired, 0);
    const perTurn: number[] = [];
    deadlines.start();
    try {
      for (let before = 0; before < entries.length - 1; before = fired()) {
        await setImmediate();
        if (fired() > before) perTurn.push(fired() - before);
      }
    } finally {
      deadlines.stop();
    }
    assert.deepEqual(perTurn, Array<number>(5).fill(FIRED_PER_TURN));
    assert.deepEqual(
      entries.map((entry) => entry.fired),
      [0, ...Array<number>(entries.length - 1).fill(1)],
    );
  });
});
