/**
 * The ledger as an OTLP log event: LogsData with one LogRecord, event name LEDGER_EVENT, each figure
 * an int attribute `azimuth.ledger.<snake_case>`, drops by reason `azimuth.ledger.dropped.<reason>`.
 * Every 5 s and at exit; not a hot path. The newest says all, so nothing here retries or queues.
 */
import type { Ledger } from './ledger.ts';
import { MessageWriter } from './message-writer.ts';
import { LEDGER_EVENT, SCOPE_NAME } from './names.ts';
import { type Attributes, readLogs } from './otlp-objects.ts';
import { type ResourceSettings, writeResource } from './resource.ts';

const FIELD = `${LEDGER_EVENT}.`;
const DROPPED = `${FIELD}dropped.`;
const ENDED_BY = `${FIELD}ended_by_unix_ms`;
/** How an event was named before LogRecord.event_name (OTLP 1.5); older readers look there. */
const EVENT_NAME = 'event.name';
/** INFO of the OpenTelemetry log data model. */
const SEVERITY_INFO = 9;

/** Figures of a ledger and their names in the log event, in the order that they are written. */
const FIGURES = [
  ['lastSeq', 'last_seq'],
  ['hopsFinished', 'hops_finished'],
  ['emitted', 'emitted'],
  ['spooled', 'spooled'],
  ['attempts', 'attempts'],
  ['cpuNs', 'cpu_ns'],
  ['rssBytes', 'rss_bytes'],
  ['loopDelayNs', 'loop_delay_ns'],
  ['inFlight', 'in_flight'],
] as const satisfies readonly (readonly [keyof Ledger, string])[];

/** Encodes a ledger as LogsData. `unixNs`: when it was drawn up. The caller owns the bytes. */
export function encodeLedger(ledger: Ledger, resource: ResourceSettings, unixNs: bigint): Buffer {
  const writer = new MessageWriter();
  writer.begin(1);
  writeResource(writer, resource);
  writer.begin(2).begin(1).string(1, SCOPE_NAME).end();
  writer.begin(2).fixed64(1, unixNs).varint(2, SEVERITY_INFO);
  writer.attribute(6, EVENT_NAME, LEDGER_EVENT);
  for (const [field, name] of FIGURES) writer.attribute(6, FIELD + name, whole(ledger[field]));
  writer.attribute(6, `${FIELD}closing`, ledger.closing);
  if (ledger.endedByMs !== undefined) writer.attribute(6, ENDED_BY, whole(ledger.endedByMs));
  for (const [reason, hops] of Object.entries(ledger.dropped)) {
    writer.attribute(6, DROPPED + reason, whole(hops));
  }
  writer.fixed64(11, unixNs).string(12, LEDGER_EVENT);
  return writer.end().end().end().finish();
}

/** A figure as an integer from 0 on; a fraction of a nanosecond is cut off. */
const whole = (figure: number): bigint => (figure > 0 ? BigInt(Math.trunc(figure)) : 0n);

/** A ledger as it was received. */
export interface ReceivedLedger {
  readonly unixNs: bigint;
  readonly resource: Attributes;
  readonly ledger: Ledger;
}

/** All ledgers in LogsData; other log records are left out. Throws OtlpError on malformed bytes. */
export function readLedgers(bytes: Uint8Array): ReceivedLedger[] {
  return readLogs(bytes).resourceLogs.flatMap(({ resource, scopeLogs }) =>
    scopeLogs
      .flatMap((scope) => scope.logRecords)
      .filter((log) => isLedger(log.eventName, log.attributes))
      .map((log) => ({
        unixNs: log.timeUnixNano,
        resource: resource.attributes,
        ledger: toLedger(log.attributes),
      })),
  );
}

const isLedger = (eventName: string, attributes: Attributes): boolean =>
  eventName === LEDGER_EVENT || attributes.get(EVENT_NAME) === LEDGER_EVENT;

function toLedger(attributes: Attributes): Ledger {
  const figure = (key: string): number => {
    const value = attributes.get(key);
    return typeof value === 'bigint' && value > 0n ? Number(value) : 0;
  };
  const dropped: Record<string, number> = {};
  for (const key of attributes.keys()) {
    if (key.startsWith(DROPPED)) dropped[key.slice(DROPPED.length)] = figure(key);
  }
  const figures = Object.fromEntries(
    FIGURES.map(([field, name]) => [field, figure(FIELD + name)]),
  ) as Record<(typeof FIGURES)[number][0], number>;
  const endedByMs = figure(ENDED_BY);
  return {
    ...figures,
    dropped,
    closing: attributes.get(`${FIELD}closing`) === true,
    ...(endedByMs === 0 ? {} : { endedByMs }),
  };
}
