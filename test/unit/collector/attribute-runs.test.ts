import assert from 'node:assert/strict';
import { SpansTable } from '../../../collector/columns/spans-table.ts';
import { SpanDecoder } from '../../../collector/span-decoder.ts';
import { TimeWindow } from '../../../collector/time-window.ts';
import { EDGE_CLASSES, PROXY_SIDES } from '../../../telemetry/edge-class.ts';
import { OtlpError } from '../../../telemetry/protobuf.ts';
import { readNativeBlock } from '../../helpers/native-block.ts';
import { TRACES } from '../../helpers/otlp-oracle.ts';
import { seededRandom } from '../../helpers/prng.ts';

const NOW_MS = Date.UTC(2026, 0, 10, 12);
const START_NS = String(BigInt(NOW_MS - 1000) * 1_000_000n);
const SOURCE = { name: 'otlp_spans', partition: 0, offset: 1 };
const window = new TimeWindow(NOW_MS, 7);
const COLUMNS = {
  Method: 'http.request.method',
  Route: 'http.route',
  Scheme: 'url.scheme',
  ServerAddress: 'server.address',
  Peer: 'service.peer.name',
  Side: 'azimuth.proxy.side',
  EdgeClass: 'azimuth.edge_class',
  Target: 'azimuth.target',
} as const;
type Column = keyof typeof COLUMNS;
const ENUMS: Partial<Record<Column, readonly string[]>> = {
  Side: PROXY_SIDES,
  EdgeClass: EDGE_CLASSES,
};

type Attribute = readonly [Column, string];

/** Spans of one Resource, encoded by an independent implementation. */
function message(service: string, spans: readonly { name: string; attributes: Attribute[] }[]) {
  const resource = {
    attributes: [{ key: 'service.name', value: { stringValue: service } }],
  };
  const encoded = spans.map(({ name, attributes }) => ({
    traceId: Buffer.alloc(16, 1),
    spanId: Buffer.alloc(8, 2),
    name,
    startTimeUnixNano: START_NS,
    attributes: attributes.map(([column, stringValue]) => ({
      key: COLUMNS[column],
      value: { stringValue },
    })),
  }));
  const traces = { resourceSpans: [{ resource, scopeSpans: [{ spans: encoded }] }] };
  return Buffer.from(TRACES.encode(TRACES.fromObject(traces)).finish());
}

/** What the columns hold, row by row; '' where a row has nothing. */
function rowsOf(table: SpansTable): Record<string, unknown>[] {
  const block = readNativeBlock(table.block());
  return Array.from({ length: block.rows }, (_, row) =>
    Object.fromEntries(
      (Object.keys(COLUMNS) as Column[]).map((column) => {
        const value = block.columns.get(column)?.values[row];
        const names = ENUMS[column];
        return [
          column,
          names === undefined ? (value ?? '') : names[value === undefined ? 0 : (value as number)],
        ];
      }),
    ),
  );
}

const expected = (attributes: readonly Attribute[]): Record<string, unknown> => ({
  ...Object.fromEntries(Object.keys(COLUMNS).map((column) => [column, ''])),
  EdgeClass: EDGE_CLASSES[0],
  ...Object.fromEntries(attributes),
});

const RUN: readonly Attribute[] = [
  ['Method', 'GET'],
  ['Route', '/things/{id}'],
  ['Scheme', 'http'],
  ['ServerAddress', 'things'],
  ['Peer', 'shop'],
  ['Side', 'inbound'],
  ['EdgeClass', 'workload_to_workload'],
];

/** Spans of one name, one after the other, in one message; what the last one was stored as. */
function lastOf(spans: readonly (readonly Attribute[])[]): Record<string, unknown> {
  const table = new SpansTable();
  const body = message(
    'things',
    spans.map((attributes) => ({ name: 'GET /things/{id}', attributes: [...attributes] })),
  );
  new SpanDecoder(table).decode(body, SOURCE, window);
  return rowsOf(table).at(-1)!;
}

describe('AttributeRuns', () => {
  it('sets what every attribute of a run that comes again says', () => {
    assert.deepEqual(lastOf([RUN, RUN]), expected(RUN));
  });

  for (const [index, [column]] of RUN.entries()) {
    it(`takes a run for another one when its ${column} differs`, () => {
      const value = column === 'Side' ? 'outbound' : column === 'EdgeClass' ? 'loopback' : 'XYZ';
      const other = RUN.with(index, [column, value]);
      assert.deepEqual(lastOf([RUN, RUN, other]), expected(other));
      assert.deepEqual(lastOf([RUN, RUN, other, RUN]), expected(RUN));
    });
  }

  it('does not take a run for a longer one that it begins', () => {
    const shorter = RUN.slice(0, 5);
    assert.deepEqual(lastOf([RUN, RUN, shorter]), expected(shorter));
    const longer: Attribute[] = [...RUN, ['Target', 'things']];
    assert.deepEqual(lastOf([RUN, RUN, longer]), expected(longer));
  });

  it('lets the last of two equal keys win, as without a run', () => {
    const twice: Attribute[] = [...RUN, ['Method', 'PUT'], ['Side', 'outbound']];
    assert.deepEqual(lastOf([twice, twice]), expected(twice));
  });

  it('stores 6,000 spans of mixed runs as each says, through refused messages and new blocks', () => {
    const seed = 20261126;
    const random = seededRandom(seed);
    const pick = <T>(from: readonly T[]): T => from[Math.floor(random() * from.length)]!;
    const table = new SpansTable();
    const decoder = new SpanDecoder(table);
    const all = Object.keys(COLUMNS) as Column[];
    for (let block = 0; block < 4; block++) {
      const due: Record<string, unknown>[] = [];
      for (let n = 0; n < 50; n++) {
        const spans = Array.from({ length: 30 }, () => {
          const route = pick(['/a', '/a/{id}', '/bb/{id}', '/bc/{id}']);
          const attributes: Attribute[] = all
            .slice(0, pick([8, 8, 8, 8, 7, 5, 3]))
            .map((column) => [
              column,
              column === 'Side'
                ? pick(['inbound', 'inbound', 'outbound'])
                : column === 'EdgeClass'
                  ? 'workload_to_workload'
                  : column === 'Route'
                    ? route
                    : pick(['one', 'one', 'one', 'one', 'two', 'three']),
            ]);
          return { name: `GET ${route}`, attributes };
        });
        const body = message(pick(['alpha', 'beta']), spans);
        table.mark();
        if (random() < 0.2) {
          assert.throws(() => decoder.decode(body.subarray(0, -1), SOURCE, window), OtlpError);
          table.rollback();
          continue;
        }
        decoder.decode(body, SOURCE, window);
        due.push(...spans.map(({ attributes }) => expected(attributes)));
      }
      assert.deepEqual(rowsOf(table), due, `seed ${seed}, block ${block}`);
      table.clear();
      decoder.forget();
    }
  });
});
