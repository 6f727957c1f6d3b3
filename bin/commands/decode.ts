/**
 * `azimuth decode`: shows people what stands in OTLP bytes, the packed hop included. Reads a file or
 * standard input, protobuf or JSON, gzipped or not; needs no mesh file and no running process.
 */
import { readFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { gunzipSync } from 'node:zlib';
import { AzimuthError, messageOf } from '../../runtime/errors.ts';
import { ATTR } from '../../telemetry/names.ts';
import { jsonToProtobuf } from '../../telemetry/otlp-json.ts';
import { readLogs, readTraces } from '../../telemetry/otlp-objects.ts';
import { decodeHop } from '../../telemetry/packed-hop.ts';
import { OtlpError } from '../../telemetry/protobuf.ts';
import { hopLines, logLines, toJson, traceLines } from '../decode-text.ts';
import type { Command } from '../command.ts';

/** A gzip bomb ends here; the largest message that Kafka or the collector takes is far below. */
const INFLATED_BYTES_MAX = 256 * 1024 * 1024;

const help = `
Usage: azimuth decode FILE|-            OTLP traces or logs, protobuf or JSON, also gzipped
       azimuth decode --hop HEX         one packed attribute azimuth.hop (docs/HOP-FORMAT.md)

  --json   print one JSON object a line (a span, a log record, or the hop) instead of text

Examples:
  azimuth decode test/fixtures/kafka/proto_none-0.bin
  kcat -b 127.0.0.1:9092 -t otlp_spans -C -c 1 -f %s | azimuth decode -
  azimuth decode --hop 0102914e81f10491bf05a1ef8902e994970285c29002
`;

async function run(args: readonly string[]): Promise<number> {
  const { values, positionals } = parseArgs({
    args: [...args],
    allowPositionals: true,
    options: { hop: { type: 'string' }, json: { type: 'boolean', default: false } },
  });
  if (values.hop !== undefined && positionals.length === 0) {
    print(refusable('the packed hop', () => decodeHopText(values.hop ?? '', values.json)));
    return 0;
  }
  const [file] = positionals;
  if (file === undefined || positionals.length > 1 || values.hop !== undefined) {
    throw new AzimuthError('AZ_USAGE', `Name one FILE, or - for standard input.\n${help}`);
  }
  const bytes = await readInput(file);
  print(refusable(file === '-' ? 'standard input' : file, () => decodeMessage(bytes, values.json)));
  return 0;
}

export const command: Command = { help, run };

const print = (lines: readonly string[]): void => {
  process.stdout.write(lines.join('\n') + '\n');
};

async function readInput(file: string): Promise<Buffer> {
  let bytes: Buffer;
  if (file === '-') {
    const chunks: Buffer[] = [];
    for await (const chunk of process.stdin) chunks.push(chunk as Buffer);
    bytes = Buffer.concat(chunks);
  } else {
    try {
      bytes = readFileSync(file);
    } catch (error) {
      throw new AzimuthError('AZ_USAGE', `cannot read ${file}: ${messageOf(error)}`);
    }
  }
  if (bytes[0] !== 0x1f || bytes[1] !== 0x8b) return bytes;
  try {
    return gunzipSync(bytes, { maxOutputLength: INFLATED_BYTES_MAX });
  } catch (error) {
    throw new AzimuthError('AZ_OTLP_MALFORMED', `${file}: gzip: ${messageOf(error)}`);
  }
}

function refusable<T>(what: string, decode: () => T): T {
  try {
    return decode();
  } catch (error) {
    if (!(error instanceof OtlpError)) throw error;
    throw new AzimuthError('AZ_OTLP_MALFORMED', `${what}: ${error.message}`, { cause: error });
  }
}

function decodeHopText(hex: string, json: boolean): string[] {
  const digits = hex.replace(/^0x/, '').replaceAll(/\s/g, '');
  if (digits.length % 2 !== 0 || !/^[0-9a-fA-F]*$/.test(digits)) {
    throw new AzimuthError('AZ_USAGE', '--hop wants an even number of hex characters.');
  }
  const hop = decodeHop(Buffer.from(digits, 'hex'));
  return json ? [toJson(hop)] : hopLines(hop);
}

/** Traces if they can be read as such, else logs; the two differ only inside their items. */
function decodeMessage(bytes: Buffer, json: boolean): string[] {
  let refusal: unknown;
  for (const signal of ['traces', 'logs'] as const) {
    try {
      const protobuf = looksLikeJson(bytes) ? jsonToProtobuf(signal, bytes) : bytes;
      return signal === 'traces' ? traces(protobuf, json) : logs(protobuf, json);
    } catch (error) {
      refusal ??= error;
    }
  }
  throw refusal;
}

const looksLikeJson = (bytes: Buffer): boolean => /^\s*[{[]/.test(bytes.toString('latin1', 0, 64));

function traces(protobuf: Buffer, json: boolean): string[] {
  const tree = readTraces(protobuf);
  if (!json) return traceLines(tree);
  return tree.resourceSpans.flatMap(({ resource, scopeSpans }) =>
    scopeSpans.flatMap(({ scope, spans }) =>
      spans.map((span) => {
        const hop = span.attributes.get(ATTR.hop);
        const decoded = hop instanceof Uint8Array ? { hop: decodeHop(hop) } : {};
        return toJson({ resource: resource.attributes, scope, ...span, ...decoded });
      }),
    ),
  );
}

function logs(protobuf: Buffer, json: boolean): string[] {
  const tree = readLogs(protobuf);
  if (!json) return logLines(tree);
  return tree.resourceLogs.flatMap(({ resource, scopeLogs }) =>
    scopeLogs.flatMap(({ scope, logRecords }) =>
      logRecords.map((log) => toJson({ resource: resource.attributes, scope, ...log })),
    ),
  );
}
