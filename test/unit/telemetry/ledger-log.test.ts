/** The ledger's way over OTLP: written, read by protobufjs, and read back. */
import assert from 'node:assert/strict';
import type { Ledger } from '../../../telemetry/ledger.ts';
import { encodeLedger, readLedgers } from '../../../telemetry/ledger-log.ts';
import { SAMPLE_RESOURCE } from '../../helpers/hop-samples.ts';
import { decodeWith, encodeWith, LOGS } from '../../helpers/otlp-oracle.ts';

const LEDGER: Ledger = {
  lastSeq: 4711,
  hopsFinished: 4711,
  emitted: 4600,
  dropped: { queue_full: 11, shutdown: 0 },
  spooled: 9,
  attempts: 4720,
  cpuNs: 2_500_000_000_123,
  rssBytes: 73_400_320,
  loopDelayNs: 1_200_000,
  inFlight: 3,
  closing: true,
};

describe('ledger as a log event', () => {
  it('is read back as it was written, with the resource of its proxy', () => {
    const [received, ...rest] = readLedgers(
      encodeLedger(LEDGER, SAMPLE_RESOURCE, 1_795_571_798_368_000_001n),
    );
    assert.deepEqual(rest, []);
    assert.deepEqual(received?.ledger, LEDGER);
    assert.equal(received.unixNs, 1_795_571_798_368_000_001n);
    assert.equal(received.resource.get('azimuth.boot_id'), SAMPLE_RESOURCE.bootId);
    assert.equal(received.resource.get('azimuth.proxy.name'), 'catalog-sidecar');
  });

  it('is one log record named azimuth.ledger to any other reader', () => {
    const decoded = decodeWith(LOGS, encodeLedger(LEDGER, SAMPLE_RESOURCE, 5n)) as {
      resourceLogs: {
        scopeLogs: {
          logRecords: { eventName: string; attributes: { key: string; value: unknown }[] }[];
        }[];
      }[];
    };
    const [record] = decoded.resourceLogs[0]!.scopeLogs[0]!.logRecords;
    assert.equal(record?.eventName, 'azimuth.ledger');
    const value = (key: string): unknown => record.attributes.find((a) => a.key === key)?.value;
    assert.deepEqual(value('azimuth.ledger.last_seq'), { intValue: '4711' });
    assert.deepEqual(value('azimuth.ledger.dropped.queue_full'), { intValue: '11' });
    assert.deepEqual(value('azimuth.ledger.closing'), { boolValue: true });
  });

  it('leaves other log records out', () => {
    const other = encodeWith(LOGS, {
      resourceLogs: [
        { scopeLogs: [{ logRecords: [{ timeUnixNano: '1', eventName: 'something' }] }] },
      ],
    });
    assert.deepEqual(readLedgers(other), []);
  });
});
