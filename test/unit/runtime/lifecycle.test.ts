import assert from 'node:assert/strict';
import {
  EXIT_UNHEALTHY,
  Lifecycle,
  runUntilSignal,
  type Part,
} from '../../../runtime/lifecycle.ts';
import { createLog, silentLog } from '../../../runtime/log.ts';

/** A part that writes down when it is started and stopped. */
function recorder(events: string[], name: string, faults: Partial<Part> = {}): Part {
  return {
    name,
    start: () => void events.push(`start ${name}`),
    stop: () => void events.push(`stop ${name}`),
    ...faults,
  };
}

describe('Lifecycle', () => {
  it('starts parts in order and stops them in the reverse order', async () => {
    const events: string[] = [];
    const lifecycle = new Lifecycle(silentLog)
      .add(recorder(events, 'store'))
      .add(recorder(events, 'receiver'));
    assert.equal(lifecycle.ready, false);
    await lifecycle.start();
    assert.equal(lifecycle.ready, true);
    await lifecycle.stop();
    assert.equal(lifecycle.ready, false);
    assert.deepEqual(events, ['start store', 'start receiver', 'stop receiver', 'stop store']);
  });

  it('stops what it had started, the failed part included, and throws its error', async () => {
    const events: string[] = [];
    const lifecycle = new Lifecycle(silentLog)
      .add(recorder(events, 'a'))
      .add(
        recorder(events, 'b', {
          start: () => Promise.reject(new Error('port taken')),
        }),
      )
      .add(recorder(events, 'c'));
    await assert.rejects(lifecycle.start(), /port taken/);
    assert.equal(lifecycle.ready, false);
    assert.deepEqual(events, ['start a', 'stop b', 'stop a']);
  });

  it('stops once, however often it is asked', async () => {
    const events: string[] = [];
    const lifecycle = new Lifecycle(silentLog).add(recorder(events, 'a'));
    await lifecycle.start();
    await Promise.all([lifecycle.stop(), lifecycle.stop()]);
    await lifecycle.stop();
    assert.deepEqual(events, ['start a', 'stop a']);
  });

  it('may be stopped before it was started', async () => {
    const events: string[] = [];
    await new Lifecycle(silentLog).add(recorder(events, 'a')).stop();
    assert.deepEqual(events, []);
  });

  it('goes on to the next part when one fails or does not end in time, and logs both', async () => {
    const events: string[] = [];
    const lines: string[] = [];
    const log = createLog({ json: false, write: (line) => lines.push(line) });
    const lifecycle = new Lifecycle(log)
      .add(recorder(events, 'last'))
      .add(recorder(events, 'hanging', { stop: () => new Promise<void>(() => undefined) }))
      .add(recorder(events, 'failing', { stop: () => Promise.reject(new Error('broken pipe')) }));
    await lifecycle.start();
    await lifecycle.stop(1);
    assert.deepEqual(events.at(-1), 'stop last');
    assert.equal(lines.length, 2);
    assert.match(lines[0]!, /^error part failed while stopping {2}part=failing .*broken pipe/);
    assert.match(lines[1]!, /^warn {2}part did not stop in time {2}part=hanging/);
  });

  it('takes a part that has nothing to start or stop', async () => {
    const lifecycle = new Lifecycle(silentLog).add({ name: 'plain' });
    await lifecycle.start();
    await lifecycle.stop();
  });
});

describe('runUntilSignal', () => {
  const signals = ['SIGTERM', 'SIGINT'] as const;
  let before: NodeJS.SignalsListener[][] = [];

  beforeEach(() => {
    before = signals.map((signal) => process.listeners(signal));
    for (const signal of signals) process.removeAllListeners(signal);
  });

  afterEach(() => {
    for (const [index, signal] of signals.entries()) {
      process.removeAllListeners(signal);
      for (const listener of before[index]!) process.on(signal, listener);
    }
  });

  it('runs until SIGTERM, then stops its parts and resolves with 0', async () => {
    const events: string[] = [];
    const lifecycle = new Lifecycle(silentLog).add(recorder(events, 'a'));
    const done = runUntilSignal(lifecycle, silentLog);
    await until(() => process.listenerCount('SIGTERM') === 1);
    assert.deepEqual(events, ['start a']);
    process.emit('SIGTERM', 'SIGTERM');
    assert.equal(await done, 0);
    assert.deepEqual(events, ['start a', 'stop a']);
  });

  it('ends by itself, with a code of its own, when the process is unhealthy', async () => {
    const events: string[] = [];
    const lifecycle = new Lifecycle(silentLog).add(recorder(events, 'a'));
    let asked = 0;
    const done = runUntilSignal(
      lifecycle,
      silentLog,
      () => (++asked < 3 ? undefined : 'nothing moves'),
      1,
    );
    assert.equal(await done, EXIT_UNHEALTHY);
    assert.deepEqual(events, ['start a', 'stop a']);
  });

  it('stops waiting at a second signal', async () => {
    let stopping = false;
    const lifecycle = new Lifecycle(silentLog).add({
      name: 'hanging',
      stop: () => {
        stopping = true;
        return new Promise<void>(() => undefined);
      },
    });
    const done = runUntilSignal(lifecycle, silentLog);
    await until(() => process.listenerCount('SIGTERM') === 1);
    process.emit('SIGTERM', 'SIGTERM');
    await until(() => stopping && process.listenerCount('SIGINT') > 0);
    process.emit('SIGINT', 'SIGINT');
    assert.equal(await done, 0);
  });
});

/** Waits, turn by turn of the event loop, until the condition holds. */
async function until(holds: () => boolean): Promise<void> {
  for (let turn = 0; turn < 1000; turn++) {
    if (holds()) return;
    await new Promise((resolve) => setImmediate(resolve));
  }
  assert.fail('the condition never held');
}
