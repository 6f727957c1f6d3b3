/**
 * A proxy whose collector is away: what it cannot deliver goes to disk, and the next process of its
 * name delivers it and goes on writing its ledger.
 */
import assert from 'node:assert/strict';
import { AzimuthError } from '../../../runtime/errors.ts';
import type { Ledger } from '../../../telemetry/ledger.ts';
import { readLedgers } from '../../../telemetry/ledger-log.ts';
import { readTraces } from '../../../telemetry/otlp-objects.ts';
import { decodeHop } from '../../../telemetry/packed-hop.ts';
import type { Exporter, OutboundMessage } from '../../../transport/exporter.ts';
import { get, ProxyLab, type LabSettings } from '../../helpers/proxy-lab.ts';
import { scratchDir } from '../../helpers/scratch-dir.ts';

const REQUESTS = 240;

/** Keeps what it gets, by boot; or is away. */
class Collector implements Exporter {
  readonly name = 'fake';
  readonly concurrency = 4;
  readonly isAway: boolean;
  readonly seqs = new Map<string, number[]>();
  readonly ledgers = new Map<string, Ledger>();
  #wake: () => void = () => undefined;

  constructor(isAway: boolean) {
    this.isAway = isAway;
  }

  send(message: OutboundMessage): Promise<void> {
    if (this.isAway) return Promise.reject(new AzimuthError('AZ_EXPORT_FAILED', 'away'));
    if (message.signal === 'logs') {
      for (const { ledger, resource } of readLedgers(message.body))
        this.ledgers.set(resource.get('azimuth.boot_id') as string, ledger);
    } else {
      for (const { resource, scopeSpans } of readTraces(message.body).resourceSpans) {
        const boot = resource.attributes.get('azimuth.boot_id') as string;
        const seqs = scopeSpans
          .flatMap(({ spans }) => spans)
          .map(({ attributes }) => decodeHop(attributes.get('azimuth.hop') as Uint8Array).seq);
        this.seqs.set(boot, [...(this.seqs.get(boot) ?? []), ...seqs]);
      }
    }
    this.#wake();
    return Promise.resolve();
  }

  async until(condition: () => boolean): Promise<void> {
    while (!condition()) await new Promise<void>((resolve) => (this.#wake = resolve));
  }

  close(): Promise<void> {
    return Promise.resolve();
  }
}

describe('proxy with a spool', function () {
  // The drain of the first process and two looks around of the second: 15 s by the clock.
  this.timeout(120_000);
  const dir = scratchDir();

  const settings = (exporter: Exporter): LabSettings => ({
    exporter,
    telemetry: {
      queue_hops_max: 100,
      spool: { dir: dir.path, bytes_max: 10_000_000 },
    },
  });

  it('leaves to its successor what the collector did not take, and not one hop is lost or doubled', async () => {
    const first = await new ProxyLab(settings(new Collector(true))).start();
    const client = await first.connect();
    for (let i = 0; i < REQUESTS; i++) {
      client.received = '';
      await client.send(get(`/products/${i}`)).until('\r\n\r\nok');
    }
    await first.stop();
    const { bootId, closingLedger } = first.proxy;
    assert.ok(closingLedger !== undefined);
    const lost = Object.values(closingLedger.dropped).reduce((a, b) => a + b, 0);
    assert.equal(closingLedger.hopsFinished, REQUESTS);
    assert.equal(closingLedger.emitted, 0);
    assert.equal(closingLedger.spooled + lost, REQUESTS);
    // A disk that stands still for seconds costs hops, counted; here some must have reached it.
    assert.ok(closingLedger.spooled > 0);

    const collector = new Collector(false);
    const second = await new ProxyLab(settings(collector)).start();
    try {
      await collector.until(() => collector.ledgers.get(bootId)?.spooled === 0);
    } finally {
      await second.stop();
    }
    const seqs = collector.seqs.get(bootId) ?? [];
    assert.equal(new Set(seqs).size, seqs.length);
    assert.equal(seqs.length, closingLedger.spooled);
    const ledger = collector.ledgers.get(bootId)!;
    assert.deepEqual(
      [ledger.hopsFinished, ledger.emitted, ledger.closing],
      [REQUESTS, closingLedger.spooled, true],
    );
    assert.deepEqual(ledger.dropped, closingLedger.dropped);
    assert.equal(collector.ledgers.get(second.proxy.bootId)?.spooled, 0);
  });
});
