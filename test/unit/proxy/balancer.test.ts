import assert from 'node:assert/strict';
import fc from 'fast-check';
import {
  Balancer,
  EndpointLoad,
  stateOf,
  type AttemptOutcome,
  type Balanced,
} from '../../../proxy/balancer.ts';
import { seededRandom } from '../../helpers/prng.ts';

interface Endpoint extends Balanced {
  readonly name: string;
}
interface Attempt {
  readonly endpoint: Endpoint;
  readonly isProbe: boolean;
}
const OUTLIERS = { failures: 5, eject_ms: 1_000, eject_max_ms: 30_000 };
const DOWN = 'failure';

/** A balancer with endpoints, and the virtual clock that all of it runs on. */
class Scene {
  readonly endpoints: Endpoint[];
  readonly balancer: Balancer<Endpoint>;
  readonly got = new Map<string, number>();
  nowMs = 0;

  constructor(names: string, seed = 1, roundRobin = false) {
    this.endpoints = names.split('').map((name) => ({ name, load: new EndpointLoad() }));
    const random = seededRandom(seed);
    this.balancer = new Balancer({ outliers: OUTLIERS, roundRobin, random });
    this.balancer.endpoints = this.endpoints;
  }

  begin(other?: Endpoint): Attempt {
    const endpoint = this.balancer.pick(this.nowMs, other);
    const { load } = endpoint;
    const isProbe = this.balancer.begins(endpoint, this.nowMs);
    assert.ok(load.ejectedUntilMs === 0 || isProbe || this.endpoints.length === 1);
    this.got.set(endpoint.name, (this.got.get(endpoint.name) ?? 0) + 1);
    return { endpoint, isProbe };
  }

  end({ endpoint, isProbe }: Attempt, latencyMs: number, outcome: AttemptOutcome): void {
    this.balancer.ends(endpoint, this.nowMs, latencyMs, outcome, isProbe);
  }

  /** One request after the other, `everyMs`, for `ms`; each ends as `outcome` and `latency` say. */
  run(
    ms: number,
    everyMs: number,
    outcome: (name: string) => AttemptOutcome,
    latency: (name: string) => number = () => 5,
  ): void {
    const open: { attempt: Attempt; endMs: number; tookMs: number }[] = [];
    const end = ({ attempt, tookMs }: (typeof open)[number]): void =>
      this.end(attempt, tookMs, outcome(attempt.endpoint.name));
    for (const endMs = this.nowMs + ms; this.nowMs < endMs; this.nowMs += everyMs) {
      for (const one of open.filter(({ endMs: at }) => at <= this.nowMs)) {
        open.splice(open.indexOf(one), 1);
        end(one);
      }
      const attempt = this.begin();
      const tookMs = latency(attempt.endpoint.name);
      open.push({ attempt, endMs: this.nowMs + tookMs, tookMs });
    }
    open.forEach(end);
  }

  share(name: string): number {
    const all = [...this.got.values()].reduce((sum, count) => sum + count, 0);
    return (this.got.get(name) ?? 0) / all;
  }
}
const dead =
  (...names: string[]) =>
  (name: string): AttemptOutcome =>
    names.includes(name) ? DOWN : 'success';
const good = dead();

describe('Balancer', () => {
  it('spreads requests evenly over endpoints that are alike', () => {
    const scene = new Scene('abc');
    scene.run(60_000, 10, good);
    for (const name of 'abc') assert.ok(Math.abs(scene.share(name) - 1 / 3) < 0.1, name);
  });

  it('gives an endpoint that is ten times slower much less', () => {
    const scene = new Scene('abc');
    scene.run(60_000, 2, good, (name) => (name === 'a' ? 50 : 5));
    assert.ok(scene.share('a') < 0.05, String(scene.share('a')));
  });

  it('does not let an endpoint draw requests by failing fast', () => {
    for (const bad of ['refusal', 'failure'] as const) {
      const scene = new Scene('abc');
      scene.run(
        10_000,
        5,
        (name) => (name === 'a' ? bad : 'success'),
        (name) => (name === 'a' ? 0.1 : 20),
      );
      assert.ok(scene.share('a') < 0.05, `${bad}: ${scene.share('a')}`);
    }
  });

  it('takes the one with fewer requests where latencies are alike', () => {
    const scene = new Scene('ab');
    scene.run(1_000, 10, good);
    const [a, b] = scene.endpoints as [Endpoint, Endpoint];
    a.load.inFlight = 50;
    for (let i = 0; i < 20; i++) assert.equal(scene.balancer.pick(scene.nowMs), b);
  });

  it('ejects a dead endpoint of three within two seconds and takes it back when it recovered', () => {
    const scene = new Scene('abc');
    scene.run(5_000, 10, good);
    scene.run(2_000, 10, dead('b'), (name) => (name === 'b' ? 0.2 : 5));
    assert.equal(stateOf(scene.endpoints[1]!.load), 'ejected');
    scene.got.clear();
    scene.run(20_000, 10, dead('b'), (name) => (name === 'b' ? 0.2 : 5));
    // Only probes, fewer and fewer.
    assert.ok((scene.got.get('b') ?? 0) <= 6, String(scene.got.get('b')));
    assert.ok((scene.got.get('b') ?? 0) >= 1);
    scene.run(31_000, 10, good);
    assert.equal(stateOf(scene.endpoints[1]!.load), 'up');
    scene.got.clear();
    scene.run(30_000, 10, good);
    assert.ok(Math.abs(scene.share('b') - 1 / 3) < 0.1, String(scene.share('b')));
  });

  it('lets one request through at a time in a probation, and doubles the time after it failed', () => {
    const scene = new Scene('ab');
    const [a] = scene.endpoints as [Endpoint];
    for (let i = 0; i < 5; i++) {
      scene.end({ endpoint: a, isProbe: scene.balancer.begins(a, 0) }, 1, DOWN);
    }
    const first = a.load.ejectedUntilMs;
    assert.ok(first >= 500 && first <= 1_000);
    scene.nowMs = first;
    const probe = scene.begin();
    assert.deepEqual(probe, { endpoint: a, isProbe: true });
    for (let i = 0; i < 10; i++) {
      const other = scene.begin();
      assert.equal(other.endpoint.name, 'b');
      scene.end(other, 1, 'success');
    }
    scene.end(probe, 1, DOWN);
    const second = a.load.ejectedUntilMs - scene.nowMs;
    assert.ok(second >= 1_000 && second <= 2_000, String(second));
  });

  it('picks another endpoint for a retry where there is one', () => {
    const scene = new Scene('ab');
    const [a, b] = scene.endpoints as [Endpoint, Endpoint];
    for (let i = 0; i < 20; i++) assert.equal(scene.balancer.pick(0, a), b);
    b.load.healthy = false;
    assert.equal(scene.balancer.pick(0, a), a);
  });

  it('asks all of them where active checks leave none', () => {
    const scene = new Scene('ab');
    for (const { load } of scene.endpoints) load.healthy = false;
    scene.run(1_000, 10, good);
    assert.equal(scene.got.size, 2);
  });

  it('goes in order where it is told to, past those that are ejected', () => {
    const scene = new Scene('abc', 1, true);
    assert.equal(Array.from({ length: 6 }, () => scene.begin().endpoint.name).join(''), 'abcabc');
    Object.assign(scene.endpoints[1]!.load, { ejectedUntilMs: Infinity, trialAtMs: Infinity });
    assert.equal(Array.from({ length: 4 }, () => scene.begin().endpoint.name).join(''), 'acac');
  });

  describe('whatever happens', () => {
    const step = fc.record({
      afterMs: fc.integer({ min: 0, max: 3_000 }),
      ends: fc.nat(20),
      outcome: fc.constantFrom<AttemptOutcome>('success', 'refusal', 'failure', 'unknown'),
      latencyMs: fc.integer({ min: 0, max: 10_000 }),
      retry: fc.boolean(),
    });
    const scenes = fc.record({
      count: fc.integer({ min: 2, max: 6 }),
      seed: fc.integer(),
      roundRobin: fc.boolean(),
      steps: fc.array(step, { maxLength: 300 }),
    });

    it('never ejects all, counts exactly what is held, and probes one at a time', () => {
      fc.assert(
        fc.property(scenes, ({ count, seed, roundRobin, steps }) => {
          const scene = new Scene('abcdef'.slice(0, count), seed, roundRobin);
          const open: Attempt[] = [];
          let last: Attempt | undefined;
          for (const { afterMs, ends, outcome, latencyMs, retry } of steps) {
            scene.nowMs += afterMs;
            last = scene.begin(retry ? last?.endpoint : undefined);
            open.push(last);
            for (let i = 0; i < ends && open.length > 0; i++) {
              scene.end(open.shift()!, latencyMs, outcome);
            }
            const loads = scene.endpoints.map(({ load }) => load);
            assert.ok(loads.some((load) => stateOf(load) === 'up'));
            for (const { name, load } of scene.endpoints) {
              const held = open.filter(({ endpoint }) => endpoint.name === name);
              assert.equal(load.inFlight, held.length);
              const probes = held.filter(({ isProbe }) => isProbe).length;
              assert.equal(Number(load.probing), probes);
              assert.ok(Number.isFinite(scene.balancer.loadOf(load, scene.nowMs)));
            }
          }
        }),
      );
    });

    it('comes back to every endpoint once all are well again', () => {
      fc.assert(
        fc.property(scenes, ({ count, seed, roundRobin, steps }) => {
          const scene = new Scene('abcdef'.slice(0, count), seed, roundRobin);
          for (const { afterMs, outcome, latencyMs } of steps) {
            scene.nowMs += afterMs;
            scene.end(scene.begin(), latencyMs, outcome);
          }
          scene.run(OUTLIERS.eject_max_ms + 1_000, 100, good);
          for (const { load } of scene.endpoints) assert.equal(stateOf(load), 'up');
          scene.run(60_000, 50, good);
          scene.got.clear();
          scene.run(60_000, 50, good);
          for (const { name } of scene.endpoints) assert.ok(scene.share(name) > 0.3 / count, name);
        }),
        { numRuns: 30 },
      );
    });
  });
});
