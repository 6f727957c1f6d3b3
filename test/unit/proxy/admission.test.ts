import assert from 'node:assert/strict';
import { Admission, clientOf, ProcessLoad, RESET } from '../../../proxy/admission.ts';
import { connectionsWithin, DEFAULT_LIMITS, type Limits } from '../../../proxy/limits.ts';

const limits = (changed: Partial<Limits>): Limits => ({ ...DEFAULT_LIMITS, ...changed });

describe('Admission', () => {
  it('turns connections past the listener’s limit away, and resets those past the margin', () => {
    const few = limits({ connectionsPerListener: 2, turnedAwayPerListener: 1 });
    const load = new ProcessLoad(few, Infinity);
    const admission = new Admission(few, load, true);
    const admitted = ['a', 'b', 'c', 'd'].map((address) => admission.enter(address));
    assert.deepEqual(
      admitted.map((a) => (a === RESET ? 'reset' : a?.name)),
      [undefined, undefined, 'too_many_connections', 'reset'],
    );
    assert.deepEqual(Object.fromEntries(admission.refused), {
      too_many_connections: 2,
      connection_reset: 1,
    });
    ['a', 'b', 'c', 'd'].forEach((address, i) => admission.leave(address, admitted[i]));
    assert.deepEqual([admission.connections, load.connections], [0, 0]);
    assert.equal(admission.enter('e'), undefined);
  });

  it('counts clients apart on a listener for the outside, and as one inside the mesh', () => {
    const few = limits({ connectionsPerClient: 1 });
    const edge = new Admission(few, new ProcessLoad(few, Infinity), true);
    assert.equal(edge.enter('192.0.2.1'), undefined);
    const second = edge.enter('::ffff:192.0.2.1');
    assert.equal(second !== RESET && second?.name, 'too_many_client_connections');
    assert.equal(edge.enter('192.0.2.2'), undefined);
    edge.leave('192.0.2.1', undefined);
    assert.equal(edge.enter('192.0.2.1'), undefined);
    const inside = new Admission(few, new ProcessLoad(few, Infinity), false);
    assert.equal(inside.enter('127.0.0.1'), undefined);
    assert.equal(inside.enter('127.0.0.1'), undefined);
  });

  it('holds all listeners of a process below half of its open files', () => {
    const many = limits({});
    assert.equal(connectionsWithin(1_024), 384);
    assert.equal(connectionsWithin(10), 1);
    const load = new ProcessLoad(many, 258);
    const [one, other] = [true, true].map((edge) => new Admission(many, load, edge));
    assert.equal(one!.enter('a'), undefined);
    const refused = other!.enter('b');
    assert.equal(refused !== RESET && refused?.name, 'too_many_connections');
  });

  it('is crowded when more than nine tenths are taken', () => {
    const few = limits({ connectionsPerListener: 10 });
    const admission = new Admission(few, new ProcessLoad(few, Infinity), true);
    for (const address of 'abcdefghi'.split('')) admission.enter(address);
    assert.equal(admission.isCrowded, false);
    admission.enter('j');
    assert.equal(admission.isCrowded, true);
  });

  it('takes an IPv6 client by its /64', () => {
    assert.equal(clientOf('2001:db8:1:2:3:4:5:6'), clientOf('2001:db8:1:2::9'));
    assert.notEqual(clientOf('2001:db8:1:2::9'), clientOf('2001:db8:1:3::9'));
    assert.equal(clientOf('::1'), '0:0:0:0');
    assert.equal(clientOf(''), '');
  });
});

describe('Load of a process', () => {
  it('is full at its limit, and remembers its peak', () => {
    const load = new ProcessLoad(limits({ memoryInFlightBytes: 100 }), Infinity);
    load.hold(99);
    assert.equal(load.isFull, false);
    load.hold(1);
    assert.equal(load.isFull, true);
    load.hold(-60);
    assert.deepEqual([load.isFull, load.heldBytes, load.heldPeakBytes], [false, 40, 100]);
  });
});
