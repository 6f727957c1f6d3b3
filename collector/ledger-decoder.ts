/**
 * OTLP log bytes into the columns of table `ledgers`. Only log records of event LEDGER_EVENT are
 * read; any other record is counted and discarded: Azimuth keeps no logs. A few ledgers a second:
 * clarity over speed.
 */
import { AzimuthError } from '../runtime/errors.ts';
import { PROXY_ROLES } from '../telemetry/edge-class.ts';
import { ATTR, LEDGER_EVENT } from '../telemetry/names.ts';
import {
  AttributeView,
  HeaderView,
  LogRecordView,
  rangeEquals,
  readAttribute,
  readLogRecord,
  readResource,
  VALUE,
  walkLogs,
  type Ranges,
} from '../telemetry/otlp-reader.ts';
import { WireCursor } from '../telemetry/protobuf.ts';
import { valueText } from './attribute-text.ts';
import type { LedgersTable } from './columns/ledgers-table.ts';
import type { DictionaryColumn } from '../store/native/text-columns.ts';
import type { TimeWindow } from './time-window.ts';

const FIELD = `${LEDGER_EVENT}.`;
const DROPPED = `${FIELD}dropped.`;
/** Older way to name an event, beside LogRecord.event_name. */
const EVENT_NAME = 'event.name';
/** Reasons are label values: a ledger that names more is not one of ours. */
const REASONS_MAX = 64;
/** A proxy sends one every few seconds; a message of this many is none of a proxy's. */
const LEDGERS_PER_MESSAGE_MAX = 10_000;
/** No process ends later than now; another machine's clock may be ahead. */
const CLOCK_AHEAD_MAX_MS = 86_400_000;

type Values = Map<string, string | number>;

export interface LedgerCounts {
  ledgers: number;
  /** Log records that are no ledger: discarded. */
  otherLogs: number;
  /** Ledgers outside the time window. */
  late: number;
}

/**
 * Appends the message's ledgers to the table. Throws OtlpError or AzimuthError AZ_OTLP_TOO_LARGE; the
 * caller then rolls the table back.
 */
export function decodeLedgers(
  bytes: Uint8Array,
  table: LedgersTable,
  window: TimeWindow,
): LedgerCounts {
  const counts: LedgerCounts = { ledgers: 0, otherLogs: 0, late: 0 };
  const cursor = new WireCursor();
  const header = new HeaderView();
  const record = new LogRecordView();
  let resource: Values = new Map();
  walkLogs(bytes, {
    resource(whole, start, end) {
      readResource(cursor.reset(whole), start, end, header);
      resource = valuesOf(cursor, header.attributes);
    },
    scope() {
      // A ledger's scope says nothing that its event name does not.
    },
    item(whole, start, end) {
      readLogRecord(cursor.reset(whole), start, end, record);
      const values = valuesOf(cursor, record.attributes);
      const isLedger =
        rangeEquals(whole, record.eventNameStart, record.eventNameEnd, LEDGER_EVENT) ||
        values.get(EVENT_NAME) === LEDGER_EVENT;
      if (!isLedger) {
        counts.otherLogs++;
        return;
      }
      const observed = record.timeLow === 0 && record.timeHigh === 0;
      const low = observed ? record.observedLow : record.timeLow;
      const high = observed ? record.observedHigh : record.timeHigh;
      if (!window.holds(low, high)) {
        counts.late++;
        return;
      }
      if (counts.ledgers === LEDGERS_PER_MESSAGE_MAX) {
        throw new AzimuthError(
          'AZ_OTLP_TOO_LARGE',
          `one message holds more than ${LEDGERS_PER_MESSAGE_MAX} ledgers`,
        );
      }
      addRow(table, low, high, resource, values, window.nowMs);
      counts.ledgers++;
    },
  });
  return counts;
}

function valuesOf(cursor: WireCursor, attributes: Ranges): Values {
  const values: Values = new Map();
  const view = new AttributeView();
  for (let i = 0; i < attributes.count; i++) {
    readAttribute(cursor, attributes.start(i), attributes.end(i), view);
    const key = cursor.bytes.toString('utf8', view.keyStart, view.keyEnd);
    const isNumber = view.type === VALUE.int || view.type === VALUE.bool;
    values.set(key, isNumber ? view.number : valueText(cursor, view));
  }
  return values;
}

function addRow(
  table: LedgersTable,
  low: number,
  high: number,
  resource: Values,
  fields: Values,
  nowMs: number,
): void {
  const c = table.column;
  const row = table.openRow();
  const word = (column: DictionaryColumn, name: string): void => {
    column.set(row, column.dictionary.putText(String(resource.get(name) ?? '')));
  };
  const count = (name: string): number => countOf(fields.get(FIELD + name));
  c.timestamp.setWords(row, low, high);
  word(c.serviceName, ATTR.serviceName);
  word(c.mesh, ATTR.mesh);
  word(c.topology, ATTR.topology);
  word(c.proxy, ATTR.proxyName);
  word(c.host, ATTR.hostName);
  word(c.bootId, ATTR.bootId);
  word(c.clockId, ATTR.clockId);
  const role = (PROXY_ROLES as readonly unknown[]).indexOf(resource.get(ATTR.proxyRole));
  c.role.set(row, Math.max(0, role));
  c.lastSeq.set(row, count('last_seq'));
  c.hopsFinished.set(row, count('hops_finished'));
  c.emitted.set(row, count('emitted'));
  c.spooled.set(row, count('spooled'));
  c.attempts.set(row, count('attempts'));
  c.cpuNs.set(row, count('cpu_ns'));
  c.rssBytes.set(row, count('rss_bytes'));
  c.loopDelayNs.set(row, count('loop_delay_ns'));
  c.inFlight.set(row, count('in_flight'));
  c.closing.set(row, count('closing') === 0 ? 0 : 1);
  const endedByMs = count('ended_by_unix_ms');
  c.endedBy.set(row, endedByMs <= nowMs + CLOCK_AHEAD_MAX_MS ? endedByMs : 0);
  c.ingestedAt.set(row, Math.floor(nowMs / 1000));
  let reasons = 0;
  for (const [name, value] of fields) {
    if (!name.startsWith(DROPPED) || reasons === REASONS_MAX) continue;
    reasons++;
    const index = c.dropped.append(row);
    c.dropped.keys.set(index, c.dropped.keys.dictionary.putText(name.slice(DROPPED.length)));
    c.dropped.values.set(index, countOf(value));
  }
  table.finishRow();
}

function countOf(value: string | number | undefined): number {
  return typeof value === 'number' && value > 0 ? value : 0;
}
