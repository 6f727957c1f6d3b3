/**
 * Attribute values as the text that stands in a Map column, the way the OpenTelemetry Collector's
 * ClickHouse exporter writes them, so that both can be read by one query: `503`, `1.5`, `true`,
 * bytes in base64, arrays and maps as JSON. Integers are exact over all 64 bits.
 */
import { isUtf8 } from 'node:buffer';
import {
  AttributeView,
  Ranges,
  readAnyValue,
  readAttribute,
  readElements,
  VALUE,
} from '../telemetry/otlp-reader.ts';
import { OtlpError, type WireCursor } from '../telemetry/protobuf.ts';
import type { TextColumn } from '../store/native/text-columns.ts';

/** Stores the value in `view` (just read by `cursor`) into a row of `column`. Throws OtlpError. */
export function setValueText(
  column: TextColumn,
  row: number,
  cursor: WireCursor,
  view: AttributeView,
): void {
  if (view.type === VALUE.string) column.setBytes(row, cursor, view.valueStart, view.valueEnd);
  else if (view.type === VALUE.int && view.high === 0) column.setUint32(row, view.low);
  else column.setText(row, valueText(cursor, view));
}

/** The value in `view` as text. Throws OtlpError on malformed content. */
export function valueText(cursor: WireCursor, view: AttributeView): string {
  switch (view.type) {
    case VALUE.none:
      return '';
    case VALUE.string:
      return utf8(cursor, view.valueStart, view.valueEnd);
    case VALUE.bytes:
      return cursor.bytes.toString('base64', view.valueStart, view.valueEnd);
    case VALUE.array:
    case VALUE.map:
      return valueJson(cursor, view, 0);
    default:
      return numberText(view);
  }
}

function numberText(view: AttributeView): string {
  if (view.type === VALUE.bool) return view.number === 0 ? 'false' : 'true';
  if (view.type === VALUE.double || Number.isSafeInteger(view.number)) return String(view.number);
  return String(BigInt.asIntN(64, (BigInt(view.high) << 32n) | BigInt(view.low)));
}

function valueJson(cursor: WireCursor, view: AttributeView, depth: number): string {
  switch (view.type) {
    case VALUE.none:
      return 'null';
    case VALUE.string:
    case VALUE.bytes:
      return JSON.stringify(valueText(cursor, view));
    case VALUE.array:
    case VALUE.map:
      return elementsJson(cursor, view, depth);
    case VALUE.double:
      // JSON has no NaN and no infinity.
      return Number.isFinite(view.number) ? String(view.number) : `"${view.number}"`;
    default:
      return numberText(view);
  }
}

function elementsJson(cursor: WireCursor, view: AttributeView, depth: number): string {
  const isMap = view.type === VALUE.map;
  const elements = new Ranges();
  readElements(cursor, view.valueStart, view.valueEnd, depth, elements);
  const element = new AttributeView();
  const parts: string[] = [];
  for (let i = 0; i < elements.count; i++) {
    if (isMap) {
      readAttribute(cursor, elements.start(i), elements.end(i), element);
      const key = JSON.stringify(utf8(cursor, element.keyStart, element.keyEnd));
      parts.push(`${key}:${valueJson(cursor, element, depth + 1)}`);
    } else {
      cursor.position = elements.start(i);
      readAnyValue(cursor, elements.end(i), element);
      parts.push(valueJson(cursor, element, depth + 1));
    }
  }
  return isMap ? `{${parts.join(',')}}` : `[${parts.join(',')}]`;
}

function utf8(cursor: WireCursor, start: number, end: number): string {
  const range = cursor.bytes.subarray(start, end);
  if (!isUtf8(range)) throw new OtlpError('utf8', start, 'text is not UTF-8');
  return range.toString('utf8');
}
