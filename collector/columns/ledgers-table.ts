/** Table `ledgers` as column buffers, in the order of store/schema (002, 013, 016). */
import { PROXY_ROLES } from '../../telemetry/edge-class.ts';
import { EnumColumn, NumberColumn, Uint64Column } from '../../store/native/fixed-columns.ts';
import { CountMapColumn } from '../../store/native/nested-columns.ts';
import { Table } from '../../store/native/table.ts';
import { DictionaryColumn } from '../../store/native/text-columns.ts';

const word = (name: string): DictionaryColumn => new DictionaryColumn(name);
const uint64 = (name: string): Uint64Column => new Uint64Column(name, 'UInt64');

function ledgerColumns() {
  return {
    timestamp: new Uint64Column('Timestamp', 'DateTime64(9)'),
    serviceName: word('ServiceName'),
    mesh: word('Mesh'),
    topology: word('Topology'),
    proxy: word('Proxy'),
    role: new EnumColumn('Role', PROXY_ROLES),
    host: word('Host'),
    bootId: word('BootId'),
    clockId: word('ClockId'),
    lastSeq: uint64('LastSeq'),
    hopsFinished: uint64('HopsFinished'),
    emitted: uint64('Emitted'),
    dropped: new CountMapColumn('Dropped', uint64('')),
    spooled: uint64('Spooled'),
    attempts: uint64('Attempts'),
    cpuNs: uint64('CpuNs'),
    rssBytes: uint64('RssBytes'),
    loopDelayNs: uint64('LoopDelayNs'),
    inFlight: new NumberColumn('InFlight', 'UInt32'),
    closing: new NumberColumn('Closing', 'UInt8'),
    endedBy: new Uint64Column('EndedBy', 'DateTime64(3)'),
    ingestedAt: new NumberColumn('IngestedAt', 'DateTime'),
  };
}

export class LedgersTable extends Table {
  readonly column: ReturnType<typeof ledgerColumns>;

  constructor() {
    const column = ledgerColumns();
    super('ledgers', Object.values(column));
    this.column = column;
  }
}
