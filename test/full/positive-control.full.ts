/**
 * Attribution as a measuring instrument: in each topology every second request is delayed by 25 ms
 * at one place, and the injector notes what it really waited. Needs a machine with little else to do.
 */
import assert from 'node:assert/strict';
import { readAttribution } from '../../analytics/reports/attribution.ts';
import { TOPOLOGIES } from '../../mesh/config.ts';
import { DELAY_PLACES } from '../helpers/injected-delay.ts';
import {
  injectedSegment,
  median,
  medians,
  nameOf,
  runControlled,
} from '../helpers/positive-control.ts';
import { startTestStore, type TestStore } from '../helpers/store.ts';

const DELAY_MS = 25;
const REQUESTS = 100;
const OFF_MAX = 0.1;

describe('A delay of 25 ms in every second request', function () {
  this.timeout(120_000);
  let store: TestStore;
  before(async () => {
    store = await startTestStore();
  });
  after(() => store.stop());

  for (const topology of TOPOLOGIES) {
    for (const place of DELAY_PLACES) {
      it(`at the ${place} in ${topology} is found where it is, to a tenth, and first near p99`, async () => {
        const settings = { place, ms: DELAY_MS, requests: REQUESTS };
        const run = await runControlled(store.client, topology, settings);
        const name = injectedSegment(topology, place);
        const of = (requests: typeof run.plain): number =>
          new Map(medians(requests)).get(name) ?? 0;
        const foundMs = of(run.delayed) - of(run.plain);
        const waitedMs = median(run.waitedMs);
        const text = `${name}: found ${foundMs.toFixed(3)} ms, waited ${waitedMs.toFixed(3)} ms`;
        console.log(`        ${text}`);
        assert.equal(run.waitedMs.length, REQUESTS / 2);
        assert.ok(Math.abs(foundMs - waitedMs) <= OFF_MAX * waitedMs, text);
        const report = await readAttribution(store.client, run, {}, { retentionDays: 7 });
        const band = report.bands.find(({ percentile }) => percentile === 99)!;
        assert.equal(nameOf(band.segments[0]!), name);
      });
    }
  }
});
