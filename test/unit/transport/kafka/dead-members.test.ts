import assert from 'node:assert/strict';
import {
  hasEnded,
  ownIdentity,
  type ProcessIdentity,
} from '../../../../transport/kafka/dead-members.ts';

const own: ProcessIdentity = {
  kernel: 'k1',
  host: 'h1',
  pidNamespace: 'pid:[1]',
  pid: 50,
  started: '900',
};
/** A process table: pid to start. */
const running =
  (table: Record<number, string>) =>
  (pid: number): string | undefined =>
    table[pid];

describe('hasEnded', () => {
  const other = { ...own, pid: 40, started: '100' };

  it('takes a process of this machine for dead when its pid is free or another has it', () => {
    assert.equal(hasEnded(other, own, running({})), true);
    assert.equal(hasEnded(other, own, running({ 40: '800' })), true);
    assert.equal(hasEnded(other, own, running({ 40: '100' })), false);
  });

  it('judges nobody of another machine, or of this one before its last start', () => {
    assert.equal(hasEnded({ ...other, host: 'h2' }, own, running({})), false);
    assert.equal(hasEnded({ ...other, kernel: 'k0' }, own, running({})), false);
  });

  it('takes the first process of a container for dead when another container has its name', () => {
    const before = { ...own, pidNamespace: 'pid:[2]', pid: 1 };
    assert.equal(hasEnded(before, { ...own, pid: 1 }, running({})), true);
    assert.equal(hasEnded({ ...before, pid: 7 }, { ...own, pid: 1 }, running({})), false);
    assert.equal(hasEnded(before, own, running({})), false);
  });

  it('never takes itself for dead', function () {
    const self = ownIdentity();
    // Without /proc nobody is judged.
    if (self === undefined) this.skip();
    assert.equal(hasEnded(self, self), false);
    assert.equal(hasEnded({ ...self, started: '0' }, self), true);
  });
});
