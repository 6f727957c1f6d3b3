/**
 * Cuts an OTLP message into smaller ones, because Kafka refuses a record batch over its limit as a
 * whole. Traces and logs have the same outer shape, so one splitter serves both:
 *
 *   data (1: resource group*) > resource group (1: resource, 2: scope group*, 3: schema url)
 *                             > scope group (1: scope, 2: item*, 3: schema url)
 *
 * An item (span, log record) is never cut and its bytes are never touched; each part repeats the
 * resource and scope of its items, byte for byte. Order is kept. Our own messages are below the
 * limit as the span writer makes them; this is for those that are not.
 */
import { putVarint, varintLength, WireCursor } from '../telemetry/protobuf.ts';

export interface Part {
  readonly body: Buffer;
  readonly items: number;
}

const TAG_1 = 0x0a;
const TAG_2 = 0x12;

/** Bytes of an enclosing field beside its content: the tag, and a length of at most 4 bytes (256 MB). */
const ENVELOPE_BYTES = 5;

/** A field of a message: [start, end) with its tag and length. */
interface Field {
  readonly start: number;
  readonly end: number;
}

interface OpenGroup {
  /** Everything of the group that is not a child: repeated in each part. */
  readonly header: Buffer;
  readonly children: Buffer[];
}

/**
 * Splits `body` into parts of at most `bytesMax` bytes each; an item that is larger by itself is a
 * part of its own, for the broker's limit counts compressed bytes. A body that fits is returned as
 * it is, unread. `items`: how many items the caller says are in it.
 * @throws OtlpError when a body over the limit is not OTLP.
 */
export function splitMessage(body: Uint8Array, items: number, bytesMax: number): Part[] {
  const bytes = Buffer.from(body.buffer, body.byteOffset, body.byteLength);
  if (bytes.length <= bytesMax) return [{ body: bytes, items }];

  const parts: Part[] = [];
  const cursor = new WireCursor().reset(bytes);
  /** Finished resource groups of the part in the making, the open ones, and an upper bound of its size. */
  let groups: Buffer[] = [];
  let resource: OpenGroup | undefined;
  let scope: OpenGroup | undefined;
  let partBytes = 0;
  let partItems = 0;

  const closeScope = (): void => {
    if (scope !== undefined && scope.children.length > 0)
      resource!.children.push(enclose(TAG_2, [scope.header, ...scope.children]));
    scope = undefined;
  };
  const closeResource = (): void => {
    closeScope();
    if (resource !== undefined && resource.children.length > 0)
      groups.push(enclose(TAG_1, [resource.header, ...resource.children]));
    resource = undefined;
  };
  const finishPart = (): void => {
    closeResource();
    if (partItems > 0) parts.push({ body: Buffer.concat(groups), items: partItems });
    groups = [];
    partBytes = 0;
    partItems = 0;
  };

  for (const group of fieldsOf(cursor, 0, bytes.length, TAG_1).children) {
    const inResource = fieldsOf(cursor, group.start, group.end, TAG_2);
    const resourceHeader = inResource.rest(bytes);
    for (const child of inResource.children) {
      const inScope = fieldsOf(cursor, child.start, child.end, TAG_2);
      const scopeHeader = inScope.rest(bytes);
      const headerBytes = resourceHeader.length + scopeHeader.length + 2 * ENVELOPE_BYTES;
      for (const { fieldStart, end } of inScope.children) {
        const itemBytes = end - fieldStart;
        // Opening both groups anew is the upper bound; what it wastes is some bytes of a part.
        const openBytes = resource === undefined || scope === undefined ? headerBytes : 0;
        if (partBytes + openBytes + itemBytes > bytesMax) finishPart();
        if (resource === undefined || scope === undefined) partBytes += headerBytes;
        resource ??= { header: resourceHeader, children: [] };
        scope ??= { header: scopeHeader, children: [] };
        scope.children.push(bytes.subarray(fieldStart, end));
        partBytes += itemBytes;
        partItems++;
      }
      closeScope();
    }
    closeResource();
  }
  finishPart();
  return parts;
}

/** Fields of the message in [start, end): those with `childTag`, and the bytes of all others. */
function fieldsOf(
  cursor: WireCursor,
  start: number,
  end: number,
  childTag: number,
): { children: (Field & { fieldStart: number })[]; rest: (bytes: Buffer) => Buffer } {
  const children: (Field & { fieldStart: number })[] = [];
  const others: Field[] = [];
  cursor.position = start;
  while (cursor.position < end) {
    const fieldStart = cursor.position;
    const tag = cursor.tag(end);
    if (tag === childTag) {
      const contentEnd = cursor.lengthDelimited(end);
      children.push({ fieldStart, start: cursor.position, end: contentEnd });
      cursor.position = contentEnd;
    } else {
      cursor.skip(tag, end);
      others.push({ start: fieldStart, end: cursor.position });
    }
  }
  return {
    children,
    rest: (bytes) => Buffer.concat(others.map((field) => bytes.subarray(field.start, field.end))),
  };
}

function enclose(tag: number, content: readonly Buffer[]): Buffer {
  const length = content.reduce((sum, piece) => sum + piece.length, 0);
  const head = Buffer.alloc(1 + varintLength(length));
  head[0] = tag;
  putVarint(head, 1, length);
  return Buffer.concat([head, ...content]);
}
