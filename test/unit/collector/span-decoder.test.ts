import assert from 'node:assert/strict';
import { SpansTable, SPAN_KINDS, STATUS_CODES } from '../../../collector/columns/spans-table.ts';
import { SpanDecoder } from '../../../collector/span-decoder.ts';
import { TimeWindow } from '../../../collector/time-window.ts';
import { EDGE_CLASSES, PROXY_ROLES, PROXY_SIDES } from '../../../telemetry/edge-class.ts';
import { OtlpError } from '../../../telemetry/protobuf.ts';
import { descending, generateMessages, type ExpectedRow } from '../../helpers/generated-spans.ts';
import { hopMessage } from '../../helpers/hop-messages.ts';
import { SAMPLE_SHAPE } from '../../helpers/hop-samples.ts';
import { readNativeBlock, type NativeBlock } from '../../helpers/native-block.ts';
import { TRACES } from '../../helpers/otlp-oracle.ts';
import { seededRandom } from '../../helpers/prng.ts';

const NOW_MS = Date.UTC(2026, 0, 10, 12);
const START_NS = BigInt(NOW_MS - 3_600_000) * 1_000_000n;
const SOURCE = { name: 'otlp_spans', partition: 7, offset: 123_456_789_012 };
const window = new TimeWindow(NOW_MS, 7);

const ENUMS: Record<string, readonly string[]> = {
  SpanKind: SPAN_KINDS,
  StatusCode: STATUS_CODES,
  Role: PROXY_ROLES,
  Side: PROXY_SIDES,
  EdgeClass: EDGE_CLASSES,
};

/** The cell in the form of ExpectedRow. */
function cell(block: NativeBlock, column: string, row: number, expected: unknown): unknown {
  const found = block.columns.get(column);
  if (found === undefined) {
    // Left out: the store fills in the type's default.
    if (typeof expected === 'number') return 0;
    if (Array.isArray(expected)) return [];
    if (typeof expected === 'object') return {};
    return column in ENUMS ? ENUMS[column]![0] : column === 'Duration' ? '0' : '';
  }
  return plain(found.type, found.values[row], ENUMS[column]);
}

function plain(type: string, value: unknown, names?: readonly string[]): unknown {
  if (names !== undefined) return names[value as number];
  if (typeof value === 'bigint') return String(value);
  if (type.startsWith('Map(')) return Object.fromEntries(value as [string, string][]);
  if (type.startsWith('Array(')) {
    return (value as unknown[]).map((one) => plain(type.slice(6, -1), one));
  }
  return value;
}

function assertRows(block: NativeBlock, rows: readonly ExpectedRow[]): void {
  assert.equal(block.rows, rows.length);
  rows.forEach((expected, row) => {
    for (const [column, value] of Object.entries(expected)) {
      assert.deepEqual(cell(block, column, row, value), value, `row ${row}, ${column}`);
    }
  });
}

/** One span with these attributes, encoded by an independent implementation. */
function spanWith(attributes: readonly (readonly [string, object])[]): Buffer {
  const span = {
    traceId: Buffer.alloc(16, 1),
    spanId: Buffer.alloc(8, 2),
    startTimeUnixNano: String(START_NS),
    attributes: attributes.map(([key, value]) => ({ key, value })),
  };
  const message = TRACES.fromObject({ resourceSpans: [{ scopeSpans: [{ spans: [span] }] }] });
  return Buffer.from(TRACES.encode(message).finish());
}

describe('SpanDecoder', () => {
  const seed = 20260110;
  const messages = [
    ...generateMessages({ seed, messages: 12, spansPerMessage: 100, startUnixNs: START_NS }),
  ];
  const rows = messages.flatMap((message) => message.rows);

  it('stores every field of 1,200 generated spans exactly', () => {
    const table = new SpansTable();
    const decoder = new SpanDecoder(table);
    for (const { body } of messages) decoder.decode(body, SOURCE, window);
    const block = readNativeBlock(table.block());
    assertRows(block, rows);
    assert.equal(block.columns.get('Source')!.values[0], 'otlp_spans');
    assert.equal(block.columns.get('SourcePartition')!.values.at(-1), 7);
    assert.equal(block.columns.get('SourceOffset')!.values[0], 123_456_789_012n);
    assert.equal(block.columns.get('IngestedAt')!.values[0], NOW_MS / 1000);
  });

  it('makes the same block of fields in descending order, as a stock Collector writes them', () => {
    const make = (bodies: readonly Buffer[]): Buffer => {
      const table = new SpansTable();
      const decoder = new SpanDecoder(table);
      for (const body of bodies) decoder.decode(body, SOURCE, window);
      return table.block();
    };
    const reversed = messages.map(({ body }) => descending(body));
    assert.notDeepEqual(reversed[0], messages[0]!.body);
    assert.deepEqual(
      readNativeBlock(make(reversed)),
      readNativeBlock(make(messages.map(({ body }) => body))),
    );
  });

  it('leaves nothing of a message behind when it is rolled back, and reuses cleared buffers', () => {
    const table = new SpansTable();
    const decoder = new SpanDecoder(table);
    for (let round = 0; round < 2; round++) {
      for (const { body } of messages) {
        table.mark();
        assert.throws(() => decoder.decode(body.subarray(0, -1), SOURCE, window), OtlpError);
        table.rollback();
        decoder.decode(body, SOURCE, window);
      }
      assertRows(readNativeBlock(table.block()), rows);
      table.clear();
      decoder.forget();
      assert.equal(table.rows, 0);
    }
  });

  it('keeps the consumer of a hop, which has no column of its own', () => {
    const table = new SpansTable();
    const decoder = new SpanDecoder(table);
    const shape = { ...SAMPLE_SHAPE, consumer: 'acme' };
    decoder.decode(hopMessage({ startUnixMs: NOW_MS - 1000, shape }), SOURCE, window);
    decoder.decode(hopMessage({ startUnixMs: NOW_MS - 1000, seq: 2 }), SOURCE, window);
    const { type, values } = readNativeBlock(table.block()).columns.get('SpanAttributes')!;
    const consumers = values.map((value) => plain(type, value) as Record<string, string>);
    assert.deepEqual(
      consumers.map((attributes) => attributes['azimuth.consumer']),
      ['acme', undefined],
    );
  });

  it('keeps attributes without a column apart, however long they stay the same at one place', () => {
    const message = (n: number): Buffer =>
      spanWith([
        ['constant', { stringValue: 'always' }],
        ['now and then', { stringValue: n % 7 === 6 ? 'other' : 'usual' }],
        [n % 5 === 4 ? 'another key' : 'a key', { stringValue: 'same text' }],
        ['changing type', n % 3 === 2 ? { stringValue: '42' } : { intValue: '42' }],
        ['counts', { intValue: String(n) }],
        // A name that has a column, with a value that its column cannot hold.
        ['server.address', { intValue: '7' }],
        ['long', { stringValue: 'x'.repeat(90 + (n % 3)) }],
      ]);
    const table = new SpansTable();
    const decoder = new SpanDecoder(table);
    for (let round = 0; round < 2; round++) {
      for (let n = 0; n < 70; n++) {
        table.mark();
        assert.throws(() => decoder.decode(message(n).subarray(0, -1), SOURCE, window), OtlpError);
        table.rollback();
        decoder.decode(message(n), SOURCE, window);
      }
      const expected = Array.from({ length: 70 }, (_, n) => ({
        SpanAttributes: {
          constant: 'always',
          'now and then': n % 7 === 6 ? 'other' : 'usual',
          [n % 5 === 4 ? 'another key' : 'a key']: 'same text',
          'changing type': '42',
          counts: String(n),
          'server.address': '7',
          long: 'x'.repeat(90 + (n % 3)),
        },
      }));
      assertRows(readNativeBlock(table.block()), expected);
      table.clear();
      decoder.forget();
    }
  });

  it('refuses or stores whole each of 20,000 mutated messages, never half of one', function () {
    this.timeout(60_000);
    const random = seededRandom(seed);
    const small = [
      ...generateMessages({ seed, messages: 20, spansPerMessage: 3, startUnixNs: START_NS }),
    ];
    const table = new SpansTable();
    const decoder = new SpanDecoder(table);
    let refused = 0;
    let stored = 0;
    for (let n = 0; n < 20_000; n++) {
      const body = mutate(small[n % small.length]!.body, random);
      const before = table.rows;
      table.mark();
      try {
        const spans = decoder.decode(body, SOURCE, window);
        assert.equal(table.rows, before + spans);
        stored++;
      } catch (error) {
        table.rollback();
        assert.equal(table.rows, before);
        assert.ok(error instanceof OtlpError, `seed ${seed}, message ${n}: ${String(error)}`);
        refused++;
      }
      if (n % 1000 === 999) {
        // The engine would refuse a block that does not add up; so does this reader.
        assert.equal(readNativeBlock(table.block()).rows, table.rows);
        table.clear();
        decoder.forget();
        decoder.decode(messages[0]!.body, SOURCE, window);
        assertRows(readNativeBlock(table.block()), messages[0]!.rows);
        table.clear();
        decoder.forget();
      }
    }
    assert.ok(refused > 1000 && stored > 1000, `refused ${refused}, stored ${stored}`);
  });

  it('leaves spans outside the time window out and keeps them readable for a dead letter', () => {
    const table = new SpansTable();
    const decoder = new SpanDecoder(table);
    const outside = BigInt(Date.UTC(1970, 0, 2)) * 1_000_000n;
    const [late] = [
      ...generateMessages({ seed, messages: 1, spansPerMessage: 5, startUnixNs: outside }),
    ];
    const mixed = Buffer.concat([messages[0]!.body, late!.body]);
    assert.equal(decoder.decode(mixed, SOURCE, window), messages[0]!.rows.length);
    assert.equal(decoder.late.count, late!.rows.length);
    assert.match(decoder.late.detail, /1970-01-02/);
    // A window of that day takes them in: the dead letter is a message of its own.
    table.clear();
    decoder.forget();
    decoder.decode(decoder.late.body, SOURCE, new TimeWindow(Date.UTC(1970, 0, 3), 7));
    assertRows(readNativeBlock(table.block()), late!.rows);
  });

  it('refuses a message whose resource would be repeated beyond the limit', () => {
    const table = new SpansTable();
    const decoder = new SpanDecoder(table);
    const fields = (number: number, content: Buffer): Buffer =>
      Buffer.concat([Buffer.from([number * 8 + 2]), varint(content.length), content]);
    const attribute = Buffer.concat([
      fields(1, Buffer.from('key')),
      fields(2, fields(1, Buffer.alloc(1 << 20, 'x'))),
    ]);
    const span = Buffer.concat([
      fields(1, Buffer.alloc(16, 1)),
      fields(2, Buffer.alloc(8, 1)),
      Buffer.from([0x39]),
      Buffer.from(new BigUint64Array([START_NS]).buffer),
    ]);
    const spans = Buffer.concat(Array.from({ length: 200 }, () => fields(2, span)));
    const body = fields(1, Buffer.concat([fields(1, fields(1, attribute)), fields(2, spans)]));
    assert.throws(() => decoder.decode(body, SOURCE, window), { name: 'AZ_OTLP_TOO_LARGE' });
  });
});

function varint(value: number): Buffer {
  const bytes: number[] = [];
  let rest = value;
  while (rest > 127) {
    bytes.push((rest & 127) | 128);
    rest >>>= 7;
  }
  return Buffer.from([...bytes, rest]);
}

/** Flips bytes, cuts, or overwrites a stretch with noise. */
function mutate(body: Buffer, random: () => number): Buffer {
  const copy = Buffer.from(body);
  const kind = random();
  if (kind < 0.15) return copy.subarray(0, Math.floor(random() * copy.length));
  if (kind < 0.25) {
    const start = Math.floor(random() * copy.length);
    for (let i = start; i < Math.min(copy.length, start + 30); i++) copy[i] = random() * 256;
    return copy;
  }
  for (let flips = 1 + Math.floor(random() * 3); flips > 0; flips--) {
    copy[Math.floor(random() * copy.length)] = Math.floor(random() * 256);
  }
  return copy;
}
