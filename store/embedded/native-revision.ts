/**
 * Native blocks at a client's revision (`client_protocol_version`). The engine writes revision 0 and no
 * setting changes that; a client that names its revision expects more around the same values:
 *
 *     revision 0     columns │ rows │ name type values │ …
 *     from 1 on      block info │ columns │ rows │ name type values │ …
 *     from 54454 on  block info │ columns │ rows │ name type 0 values │ …      0: usual serialization
 *
 * So each block is walked column by column, by its type, and written anew. Values are not looked into.
 * Types of which the values differ by revision are refused, by name.
 */
import { ClickHouseFault } from './clickhouse-fault.ts';
import { skipColumn, Walk } from './native-walk.ts';

/** Before it, clients do not know LowCardinality, and would have to get other columns. */
const REVISION_LEAST = 54_405;
/** A byte before the values of a column says how they are written. */
const CUSTOM_SERIALIZATION = 54_454;

/** No overflow rows, no bucket of an aggregation: field 1 = 0, field 2 = -1, end. */
const BLOCK_INFO = Buffer.from([1, 0, 2, 0xff, 0xff, 0xff, 0xff, 0]);
const USUAL = Buffer.from([0]);

/** Throws 48 for a revision that is not spoken. 0 stands for none. */
export function checkRevision(text: string): number {
  const revision = Number(text === '' ? 0 : text);
  if (Number.isInteger(revision) && (revision === 0 || revision >= REVISION_LEAST)) return revision;
  throw new ClickHouseFault(
    48,
    `client_protocol_version=${text} is not supported by the embedded store: ` +
      `leave it out, or use a client of ${REVISION_LEAST} or newer`,
  );
}

/**
 * An answer of the engine as a reader of `revision` expects it. Throws 48 for a column of a type that
 * cannot be written so.
 */
export function atRevision(answer: Uint8Array, revision: number): Uint8Array {
  if (revision === 0) return answer;
  const walk = new Walk(answer);
  const pieces: Uint8Array[] = [];
  while (!walk.ended()) {
    pieces.push(BLOCK_INFO);
    let from = walk.at;
    const columns = walk.varint();
    const rows = walk.varint();
    for (let i = 0; i < columns; i++) {
      const name = walk.text();
      const type = walk.text();
      if (revision >= CUSTOM_SERIALIZATION) {
        pieces.push(answer.subarray(from, walk.at), USUAL);
        from = walk.at;
      }
      if (rows > 0) skipColumn(walk, name, type, rows);
    }
    pieces.push(answer.subarray(from, walk.at));
  }
  return Buffer.concat(pieces);
}
