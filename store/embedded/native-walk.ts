/**
 * Walks over the values of Native columns (revision 0) without reading them: how many bytes do so many
 * rows of a type take? First all prefixes of a column, outermost type first, then its values.
 */
import { ClickHouseFault } from './clickhouse-fault.ts';

/** A place in bytes that only goes forward; never past their end. */
export class Walk {
  readonly #bytes: Buffer;
  at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  ended(): boolean {
    return this.at >= this.#bytes.length;
  }
  skip(bytes: number): void {
    this.at += bytes;
    if (this.at > this.#bytes.length) throw new Error('a Native block of the engine ends too soon');
  }
  varint(): number {
    let value = 0;
    for (let factor = 1; ; factor *= 128) {
      const byte = this.#bytes[this.at];
      this.skip(1);
      value += (byte! & 127) * factor;
      if (byte! < 128) return value;
    }
  }
  text(): string {
    const bytes = this.varint();
    const from = this.at;
    this.skip(bytes);
    return this.#bytes.toString('utf8', from, this.at);
  }
  uint64(): number {
    const from = this.at;
    this.skip(8);
    return this.#bytes.readUInt32LE(from) + this.#bytes.readUInt32LE(from + 4) * 2 ** 32;
  }
}

/** Bytes of a value by the name of its type, without parameters. */
const WIDTHS = new Map<string, number>(
  (
    [
      [1, 'UInt8 Int8 Bool Enum8 Nothing'],
      [2, 'UInt16 Int16 Enum16 Date BFloat16'],
      [4, 'UInt32 Int32 Float32 Date32 DateTime IPv4 Decimal32 Time'],
      [8, 'UInt64 Int64 Float64 DateTime64 Decimal64 Time64'],
      [16, 'UInt128 Int128 UUID IPv6 Decimal128'],
      [32, 'UInt256 Int256 Decimal256'],
    ] as const
  ).flatMap(([width, names]) => names.split(' ').map((name) => [name, width] as const)),
);

interface Type {
  readonly name: string;
  /** As written between the brackets; empty without. */
  readonly inner: string;
}

function typeOf(text: string): Type {
  const bracket = text.indexOf('(');
  if (bracket < 0) return { name: text, inner: '' };
  return { name: text.slice(0, bracket), inner: text.slice(bracket + 1, text.lastIndexOf(')')) };
}

/** Parameters, which may hold brackets and quoted texts themselves. */
function parameters(inner: string): string[] {
  const found: string[] = [];
  let depth = 0;
  let quote = '';
  let from = 0;
  for (let i = 0; i < inner.length; i++) {
    const char = inner[i]!;
    if (quote !== '') {
      if (char === '\\') i++;
      else if (char === quote) quote = '';
    } else if (char === "'" || char === '`' || char === '"') quote = char;
    else if (char === '(') depth++;
    else if (char === ')') depth--;
    else if (char === ',' && depth === 0) {
      found.push(inner.slice(from, i).trim());
      from = i + 1;
    }
  }
  const last = inner.slice(from).trim();
  return last === '' ? found : [...found, last];
}

/** Elements of a tuple may have names, quoted ones too. */
const elements = (inner: string): string[] =>
  parameters(inner).map((one) => one.replace(/^(?:`(?:[^`\\]|\\.)*`|[A-Za-z_]\w*) (?=[A-Z])/, ''));

/** Skips prefix and values of `rows` > 0 rows. Throws 48, naming column and type, for what it cannot. */
export function skipColumn(walk: Walk, column: string, text: string, rows: number): void {
  const refuse = (what: string): never => {
    throw new ClickHouseFault(
      48,
      `column "${column}" of type ${what} cannot be sent at a client_protocol_version by the embedded store: ` +
        `select toString(${column}), or use another client`,
    );
  };

  const prefix = (type: string): void => {
    const { name, inner } = typeOf(type);
    if (name === 'LowCardinality') walk.skip(8);
    else if (name === 'Nullable' || name === 'Array') prefix(inner);
    else if (name === 'Map' || name === 'Tuple' || name === 'Nested')
      elements(inner).forEach(prefix);
    else if (name === 'SimpleAggregateFunction') prefix(parameters(inner)[1]!);
  };

  const texts = (count: number): void => {
    for (let i = 0; i < count; i++) walk.skip(walk.varint());
  };

  const lists = (types: readonly string[], count: number): void => {
    walk.skip(8 * (count - 1));
    const total = walk.uint64();
    if (total > 0) for (const type of types) values(type, total);
  };

  const dictionary = (type: string): void => {
    const flags = walk.uint64();
    const { name, inner } = typeOf(type);
    // The dictionary of a Nullable has no marks: its first entry stands for NULL.
    values(name === 'Nullable' ? inner : type, walk.uint64());
    walk.skip(walk.uint64() * 2 ** (flags & 3));
  };

  const values = (type: string, count: number): void => {
    const { name, inner } = typeOf(type);
    const width = WIDTHS.get(name) ?? (name.startsWith('Interval') ? 8 : undefined);
    if (width !== undefined) {
      walk.skip(width * count);
      return;
    }
    switch (name) {
      case 'String':
        texts(count);
        break;
      case 'FixedString':
        walk.skip(Number(inner) * count);
        break;
      case 'Decimal': {
        const digits = Number(parameters(inner)[0]);
        walk.skip((digits <= 9 ? 4 : digits <= 18 ? 8 : digits <= 38 ? 16 : 32) * count);
        break;
      }
      case 'Nullable':
        walk.skip(count);
        values(inner, count);
        break;
      case 'Array':
        lists([inner], count);
        break;
      case 'Map':
      case 'Nested':
        lists(elements(inner), count);
        break;
      case 'Tuple':
        if (inner === '') walk.skip(count);
        for (const one of elements(inner)) values(one, count);
        break;
      case 'LowCardinality':
        dictionary(inner);
        break;
      case 'SimpleAggregateFunction':
        values(parameters(inner)[1]!, count);
        break;
      default:
        refuse(type);
    }
  };

  prefix(text);
  values(text, rows);
}
