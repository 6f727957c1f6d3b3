import assert from 'node:assert/strict';
import { Deadlines, NEVER, TICK_MS, type Deadlined } from '../../../proxy/deadlines.ts';

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
});
