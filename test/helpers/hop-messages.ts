/** OTLP messages of hops, written by the proxies' own span writer. */
import type { HopRecord, HopShape } from '../../telemetry/hop-record.ts';
import { createSpanWriter, type HopFormat } from '../../telemetry/span-writer.ts';
import { SAMPLE_RESOURCE, SAMPLE_SHAPE, SAMPLE_START_MS, workedHop } from './hop-samples.ts';

export interface HopMessageSettings {
  /** When the hop began. */
  readonly startUnixMs: number;
  readonly seq?: number;
  readonly hopFormat?: HopFormat;
  readonly shape?: HopShape;
  /** Changes the worked hop before it is written. */
  readonly change?: (record: HopRecord) => void;
}

/** TracesData with one hop: the worked example, moved to another time and sequence. */
export function hopMessage(settings: HopMessageSettings): Buffer {
  const anchorNs =
    BigInt(Math.round(settings.startUnixMs)) * 1_000_000n - BigInt(SAMPLE_START_MS) * 1_000_000n;
  const writer = createSpanWriter({
    clock: { anchorNs },
    hopFormat: settings.hopFormat ?? 'packed',
    bytesMax: 1 << 20,
    onFull: () => undefined,
  });
  const lane = writer.lane(SAMPLE_RESOURCE);
  const record = workedHop();
  const seq = settings.seq ?? 1;
  record.seq = seq;
  record.spanId[1] = (seq << 4) >>> 0;
  settings.change?.(record);
  writer.write(lane, writer.shape(settings.shape ?? SAMPLE_SHAPE), record);
  const message = writer.take();
  if (message === undefined) throw new Error('the hop was not written');
  return message.body;
}
