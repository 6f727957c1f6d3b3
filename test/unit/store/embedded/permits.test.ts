import assert from 'node:assert/strict';
import { createPermits } from '../../../../store/embedded/permits.ts';

const never = new AbortController().signal;

describe('permits', () => {
  it('let so many run, and the next in order when one is given back', async () => {
    const permits = createPermits('queries', 1, 10);
    const give = await permits.take(never);
    const order: string[] = [];
    const second = permits.take(never).then((g) => (order.push('second'), g));
    const third = permits.take(never).then((g) => (order.push('third'), g));
    assert.deepEqual([permits.running, permits.waiting], [1, 2]);
    give();
    // A second call of the same one must not let another in.
    give();
    (await second)();
    (await third)();
    assert.deepEqual(order, ['second', 'third']);
    assert.equal(permits.running, 0);
  });

  it('refuse when the line is full, with when to come back', async () => {
    const permits = createPermits('queries', 1, 0);
    await permits.take(never);
    await assert.rejects(permits.take(never), { code: 202, status: 503, retryAfterS: 1 });
  });

  it('forget whoever leaves the line', async () => {
    const permits = createPermits('queries', 1, 10);
    const give = await permits.take(never);
    const leaver = new AbortController();
    const left = permits.take(leaver.signal);
    leaver.abort(new Error('gone'));
    await assert.rejects(left, /gone/);
    assert.equal(permits.waiting, 0);
    give();
    assert.equal(permits.running, 0);
  });
});
