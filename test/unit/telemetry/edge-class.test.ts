import assert from 'node:assert/strict';
import fc from 'fast-check';
import {
  directionOf,
  type Direction,
  DIRECTIONS,
  EDGE_CLASSES,
  type EdgeClass,
  inboundEdgeClass,
  isRequest,
  PEER_ROLES,
  PERSPECTIVES,
} from '../../../telemetry/edge-class.ts';

describe('edge classes', () => {
  // DESIGN.md section 4, the table, line by line: class, whole, split.
  const table: [EdgeClass, Direction, Direction][] = [
    ['external_to_gateway', 'north_south', 'north_south'],
    ['external_to_bff', 'north_south', 'north_south'],
    ['gateway_to_workload', 'north_south', 'east_west'],
    ['gateway_to_bff', 'north_south', 'east_west'],
    ['gateway_bff_to_workload', 'north_south', 'east_west'],
    ['bff_to_workload', 'east_west', 'east_west'],
    ['workload_to_workload', 'east_west', 'east_west'],
    ['workload_to_external', 'north_south', 'north_south'],
    ['loopback', 'neither', 'neither'],
    ['unknown', 'unknown', 'unknown'],
  ];
  for (const [edgeClass, whole, split] of table) {
    it(`reads ${edgeClass} as ${whole} whole and ${split} split`, () => {
      assert.equal(directionOf(edgeClass, 'whole'), whole);
      assert.equal(directionOf(edgeClass, 'split'), split);
    });
  }

  it('has a line in the table for every class', () => {
    assert.deepEqual(new Set(table.map(([c]) => c)), new Set(EDGE_CLASSES));
  });

  it('keeps the numbers that are on the wire and in the store', () => {
    assert.deepEqual(EDGE_CLASSES.indexOf('unknown'), 0);
    assert.deepEqual(EDGE_CLASSES.indexOf('external_to_gateway'), 1);
    assert.deepEqual(EDGE_CLASSES.indexOf('loopback'), 9);
    assert.deepEqual(DIRECTIONS, ['unknown', 'north_south', 'east_west', 'neither']);
    assert.deepEqual(PEER_ROLES.indexOf('workload'), 5);
  });

  it('moves only the internal leg of a gateway from one perspective to the other', () => {
    const moved = EDGE_CLASSES.filter((c) => directionOf(c, 'whole') !== directionOf(c, 'split'));
    assert.deepEqual(moved, ['gateway_to_workload', 'gateway_to_bff', 'gateway_bff_to_workload']);
  });

  it('counts a request as north-south in both perspectives', () => {
    const requests = EDGE_CLASSES.filter(isRequest);
    assert.deepEqual(requests, ['external_to_gateway', 'external_to_bff']);
    for (const perspective of PERSPECTIVES) {
      for (const c of requests) assert.equal(directionOf(c, perspective), 'north_south');
    }
  });

  it('holds the invariants for any traffic: legs of all directions add up to the same sum, requests are the same number', () => {
    const traffic = fc.array(fc.constantFrom(...EDGE_CLASSES), { maxLength: 200 });
    fc.assert(
      fc.property(traffic, (hops) => {
        const legs = PERSPECTIVES.map((perspective) => {
          const count = (d: Direction): number =>
            hops.filter((c) => directionOf(c, perspective) === d).length;
          return {
            sum: DIRECTIONS.reduce((sum, d) => sum + count(d), 0),
            neither: count('neither'),
            unknown: count('unknown'),
            directed: count('north_south') + count('east_west'),
            northSouth: count('north_south'),
          };
        });
        const [split, whole] = [legs[0]!, legs[1]!];
        assert.equal(split.sum, hops.length);
        assert.equal(whole.sum, hops.length);
        assert.equal(split.directed, whole.directed);
        assert.equal(split.neither, whole.neither);
        assert.equal(split.unknown, whole.unknown);
        const moved = hops.filter((c) => c.startsWith('gateway_')).length;
        assert.equal(whole.northSouth, split.northSouth + moved);
        const requests = hops.filter(isRequest).length;
        assert.ok(requests <= split.northSouth && requests <= whole.northSouth);
      }),
    );
  });
});

describe('edge class of a hop at an inbound side', () => {
  it('follows the role of the peer, and of the BFF that a gateway calls', () => {
    assert.equal(inboundEdgeClass('gateway', false), 'gateway_to_workload');
    assert.equal(inboundEdgeClass('gateway', true), 'gateway_to_bff');
    assert.equal(inboundEdgeClass('gateway_bff', false), 'gateway_bff_to_workload');
    assert.equal(inboundEdgeClass('gateway_bff', true), 'gateway_bff_to_workload');
    assert.equal(inboundEdgeClass('bff', false), 'bff_to_workload');
    assert.equal(inboundEdgeClass('bff', true), 'bff_to_workload');
    assert.equal(inboundEdgeClass('workload', false), 'workload_to_workload');
    assert.equal(inboundEdgeClass('workload', true), 'workload_to_workload');
  });

  it('is unknown for a peer that nobody vouches for, never external', () => {
    for (const peer of ['', 'external'] as const) {
      assert.equal(inboundEdgeClass(peer, false), 'unknown');
      assert.equal(inboundEdgeClass(peer, true), 'unknown');
    }
  });

  it('is never a request from outside', () => {
    for (const peer of PEER_ROLES) {
      for (const bff of [true, false]) assert.equal(isRequest(inboundEdgeClass(peer, bff)), false);
    }
  });
});
