/**
 * The fault matrix as data: what is done to which process, how often, and what it may cost. What
 * holds for every line stands in verdict.ts: nothing that was answered is missing, nothing is
 * counted twice, no request fails, memory stays bounded.
 */
import {
  brokerAway,
  delayedAcks,
  deleteUnread,
  fillDisk,
  freeze,
  joinAndLeave,
  killCollector,
  killProxy,
  leaderAway,
  poison,
  sendThroughSmallBroker,
  slowBroker,
  stepClock,
  storeFails,
  tooManyParts,
} from './faults.ts';
import type { Scenario } from './runner.ts';
import { STORE_FAULTS } from './store-front.ts';

const both = ['otlp', 'kafka'] as const;
const kafka = ['kafka'] as const;

export const MATRIX: readonly Scenario[] = [
  {
    name: 'collector killed (-9) with a batch in hand',
    over: both,
    times: { ci: 3, full: 50 },
    fault: killCollector('before'),
  },
  {
    name: 'collector killed (-9) between insert and commit',
    over: both,
    times: { ci: 2, full: 50 },
    fault: killCollector('after'),
  },
  {
    name: 'gateway killed (-9)',
    over: both,
    times: { ci: 1, full: 50 },
    fault: killProxy('gateway'),
    exceptions: { killed: 'gateway' },
  },
  {
    name: 'sidecar killed (-9)',
    over: both,
    times: { ci: 0, full: 50 },
    fault: killProxy('sidecar'),
    exceptions: { killed: 'sidecar' },
  },
  {
    name: 'store fails in every way, one after the other',
    over: both,
    times: { ci: 1, full: 0 },
    fault: storeFails(...STORE_FAULTS),
  },
  ...STORE_FAULTS.map((fault): Scenario => ({
    name: `store fails: ${fault.replaceAll('_', ' ')}`,
    over: both,
    times: { ci: 0, full: 5 },
    fault: storeFails(fault),
  })),
  {
    name: 'the store has too many parts',
    over: both,
    times: { ci: 0, full: 5 },
    fault: tooManyParts,
  },
  {
    name: 'messages that nobody can read',
    over: both,
    times: { ci: 3, full: 50 },
    fault: poison,
    exceptions: { poison: true },
  },
  {
    name: 'messages deleted by the broker before they were read',
    over: kafka,
    times: { ci: 0, full: 5 },
    fault: deleteUnread,
    exceptions: { deleted: true },
  },
  {
    name: 'messages above what the broker takes',
    over: kafka,
    batchBytesMax: 1_500,
    times: { ci: 0, full: 50 },
    fault: sendThroughSmallBroker,
  },
  {
    name: 'every single span above what the broker takes',
    over: kafka,
    batchBytesMax: 150,
    times: { ci: 0, full: 5 },
    fault: sendThroughSmallBroker,
    exceptions: { counted: 'too_large' },
  },
  {
    name: 'broker killed (-9) and away for 6 s',
    over: kafka,
    times: { ci: 1, full: 5 },
    fault: brokerAway(6_000),
  },
  {
    name: 'broker killed (-9) and away for 60 s',
    over: kafka,
    times: { ci: 0, full: 3 },
    fault: brokerAway(60_000),
  },
  {
    name: 'collector frozen for 12 s',
    over: both,
    times: { ci: 0, full: 5 },
    fault: freeze('collector', 12_000),
  },
  {
    name: 'store frozen for 12 s',
    over: both,
    times: { ci: 0, full: 5 },
    fault: freeze('store', 12_000),
  },
  {
    name: 'sidecar frozen for 3 s',
    over: both,
    times: { ci: 0, full: 5 },
    fault: freeze('sidecar', 3_000),
  },
  {
    name: 'gateway frozen for 3 s',
    over: both,
    times: { ci: 0, full: 5 },
    fault: freeze('gateway', 3_000),
  },
  {
    name: 'a collector joins and leaves every 3 s',
    over: kafka,
    times: { ci: 0, full: 10 },
    fault: joinAndLeave(3_000),
  },
  {
    name: 'acknowledgements delayed by 12 s',
    over: kafka,
    times: { ci: 0, full: 3 },
    fault: delayedAcks(12_000),
  },
  {
    name: 'broker that takes 20 kB a second',
    over: kafka,
    times: { ci: 0, full: 3 },
    fault: slowBroker(20_000),
  },
  {
    name: 'leader of three brokers killed (-9) and away for 10 s',
    over: kafka,
    brokers: 3,
    times: { ci: 0, full: 6 },
    fault: leaderAway(10_000, 'killed'),
  },
  {
    name: 'leader of three brokers frozen for 10 s',
    over: kafka,
    brokers: 3,
    times: { ci: 0, full: 6 },
    fault: leaderAway(10_000, 'frozen'),
  },
  {
    name: 'clock of the sidecar steps back 30 minutes',
    over: both,
    times: { ci: 0, full: 3 },
    ...stepClock('sidecar', -30 * 60_000),
  },
  {
    name: 'clock of the sidecar steps on 2 hours',
    over: both,
    times: { ci: 0, full: 3 },
    ...stepClock('sidecar', 2 * 3_600_000),
    exceptions: { counted: 'dead_letter_out_of_window' },
  },
  {
    name: 'collector away until the disk under the spool is full',
    over: ['otlp'],
    smallDisk: 'spool',
    times: { ci: 0, full: 3 },
    fault: fillDisk('spool'),
    exceptions: { counted: 'queue_full' },
  },
  {
    name: 'disk under the store full',
    over: both,
    smallDisk: 'store',
    times: { ci: 0, full: 3 },
    fault: fillDisk('store'),
  },
];
