import assert from 'node:assert/strict';
import { ConfigStatus } from '../../../proxy/config-status.ts';
import { createLog } from '../../../runtime/log.ts';

describe('ConfigStatus', () => {
  let lines: string[];
  let status: ConfigStatus;
  beforeEach(() => {
    lines = [];
    status = new ConfigStatus(1, createLog({ json: false, write: (line) => lines.push(line) }));
  });

  it('counts outcomes, and keeps the generation in force when a reload is refused', () => {
    status.note({ kind: 'applied', generation: 2, restartsWorkers: false });
    status.note({ kind: 'unchanged' });
    status.note({
      kind: 'refused',
      faults: ['routes[0]: no such target', 'workers: not a number'],
    });
    const { generation, reloads, refused } = status.json();
    assert.equal(generation, 2);
    assert.deepEqual(reloads, { applied: 1, unchanged: 1, refused: 1 });
    assert.deepEqual(refused?.faults, ['routes[0]: no such target', 'workers: not a number']);
  });

  it('tells the operator every fault of a refused one, as an error', () => {
    status.note({ kind: 'refused', faults: ['first fault', 'second fault'] });
    assert.equal(lines.length, 1);
    assert.match(lines[0]!, /^error .*refused.*first fault\nsecond fault/s);
  });

  it('forgets the faults once a later reload was good', () => {
    status.note({ kind: 'refused', faults: ['a fault'] });
    status.note({ kind: 'unchanged' });
    assert.equal(status.json().refused, undefined);
    assert.equal(status.json().reloads.refused, 1);
  });
});
