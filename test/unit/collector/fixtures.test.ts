import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { Batch, type Block, type Outcome } from '../../../collector/batch.ts';
import type { InboundMessage } from '../../../collector/message.ts';
import { TimeWindow } from '../../../collector/time-window.ts';
import { nativeCell, readNativeBlock } from '../../helpers/native-block.ts';

const FIXTURES = new URL('../../fixtures/', import.meta.url);
const read = (path: string): Buffer => readFileSync(new URL(path, FIXTURES));
const names = (folder: string, end: string): string[] =>
  readdirSync(new URL(`${folder}/`, FIXTURES)).filter((name) => name.endsWith(end));

/** The fixtures' JSON names enums, which OTLP/JSON forbids: numbers in their place. */
const ENUM_NAMES = [
  ...['UNSPECIFIED', 'INTERNAL', 'SERVER', 'CLIENT', 'PRODUCER', 'CONSUMER'].map(
    (name, number) => [`"SPAN_KIND_${name}"`, number] as const,
  ),
  ...['UNSET', 'OK', 'ERROR'].map((name, number) => [`"STATUS_CODE_${name}"`, number] as const),
];
function readJson(path: string): Buffer {
  let text = read(path).toString('utf8');
  for (const [name, number] of ENUM_NAMES) text = text.replaceAll(name, String(number));
  return Buffer.from(text);
}

/** Wide enough for the day on which the fixtures were captured, whenever that was. */
const captured = (body: Buffer): TimeWindow => {
  const found = /"startTimeUnixNano":\s*"(\d+)"/.exec(body.toString('latin1'));
  return new TimeWindow(found === null ? Date.now() : Number(found[1]) / 1e6, 90);
};

/** Stores one message and returns its rows column by column. */
function store(
  signal: 'traces' | 'logs',
  encoding: 'protobuf' | 'json',
  body: Buffer,
  window: TimeWindow,
): { outcome: Outcome; blocks: Block[] } {
  const batch = new Batch();
  const message: InboundMessage = {
    signal,
    encoding,
    body,
    source: { name: 'fixture', partition: 0, offset: 0 },
  };
  return { outcome: batch.add(message, window), blocks: batch.seal() };
}

describe('Batch and bytes of other programs', () => {
  const pairs = names('foreign', '.binpb').filter((name) => !name.includes('.logs.'));
  it('has fixtures to read', () => assert.ok(pairs.length >= 8));

  for (const name of pairs) {
    it(`stores the same rows of ${name} as of its JSON`, () => {
      const json = readJson(`foreign/${name.replace('.binpb', '.json')}`);
      const window = captured(json);
      const fromJson = store('traces', 'json', json, window);
      const fromProtobuf = store('traces', 'protobuf', read(`foreign/${name}`), window);
      const due = json.toString().split('"spanId"').length - 1;
      assert.deepEqual(fromProtobuf.outcome.rejected, []);
      assert.ok(fromProtobuf.outcome.spans > 0 && fromProtobuf.outcome.spans <= due);
      assert.equal(fromJson.outcome.spans, fromProtobuf.outcome.spans);
      assert.deepEqual(
        readNativeBlock(fromJson.blocks[0]!.bytes),
        readNativeBlock(fromProtobuf.blocks[0]!.bytes),
      );
    });
  }

  it('stores the six spans of each message of a stock Collector and of the SDK', () => {
    // The day is in the bytes; any window that holds it will do.
    const anyDay = new (class extends TimeWindow {
      override holds(): boolean {
        return true;
      }
    })(Date.now(), 1);
    const cases: [string, 'protobuf' | 'json'][] = [
      ['proto_none-0', 'protobuf'],
      ['proto_none-1', 'protobuf'],
      ['proto_none-2', 'protobuf'],
      ['proto_headers-0', 'protobuf'],
      ['json_none-0', 'json'],
      ['sdk-otlp-http-protobuf', 'protobuf'],
      ['sdk-otlp-http-json', 'json'],
    ];
    for (const [name, encoding] of cases) {
      const { outcome, blocks } = store('traces', encoding, read(`kafka/${name}.bin`), anyDay);
      assert.deepEqual([outcome.spans, outcome.rejected], [6, []], name);
      const block = readNativeBlock(blocks[0]!.bytes);
      assert.deepEqual(new Set(block.columns.get('SpanKind')!.values), new Set([2, 3]), name);
      assert.ok(block.columns.get('ServiceName')!.values.every((service) => service !== ''));
      const server = block.columns.get('SpanKind')!.values.indexOf(2);
      assert.equal(nativeCell(block, 'Route', server), '/cart/:id', name);
      const events = block.columns.get('Events.Name')!.values.flat();
      assert.ok(events.includes('exception'), name);
      assert.equal(block.columns.get('Links.TraceId')!.values.flat().length, 3, name);
      assert.equal(block.columns.get('StatusCode')!.values.filter((code) => code === 2).length, 1);
    }
  });

  it('dead-letters Jaeger and Zipkin messages, and logs in the place of traces', () => {
    const window = new TimeWindow(Date.now(), 7);
    for (const [path, encoding] of [
      ['kafka/jaeger_proto-0.bin', 'protobuf'],
      ['kafka/jaeger_proto-1.bin', 'protobuf'],
      ['kafka/zipkin_json-0.bin', 'json'],
      ...names('foreign', '.logs.binpb').map((name) => [`foreign/${name}`, 'protobuf'] as const),
    ] as const) {
      const { outcome, blocks } = store('traces', encoding, read(path), window);
      assert.equal(outcome.spans, 0, path);
      assert.deepEqual(
        outcome.rejected.map(({ reason }) => reason),
        ['malformed'],
        path,
      );
      assert.deepEqual(
        blocks.map(({ table }) => table),
        ['dead_letters'],
      );
    }
  });

  it('discards the log records of other programs, counted', () => {
    for (const name of names('foreign', '.logs.binpb')) {
      const { outcome } = store(
        'logs',
        'protobuf',
        read(`foreign/${name}`),
        new TimeWindow(Date.now(), 7),
      );
      assert.ok(outcome.otherLogs > 0);
      assert.deepEqual([outcome.ledgers, outcome.rejected], [0, []]);
    }
  });
});
