/**
 * What is being collected for the next insert: rows of three tables, made of whole messages.
 *
 *     add(message) ─► spans │ ledgers          the message's rows, all or none
 *                  └► dead_letters             what of it cannot be stored, and why
 *     seal()       ─► one Native block a table; the buffers are free for the next batch
 *
 * Never throws on account of a message, whatever is in it.
 */
import { AzimuthError, messageOf } from '../runtime/errors.ts';
import { jsonToProtobuf } from '../telemetry/otlp-json.ts';
import { OtlpError } from '../telemetry/protobuf.ts';
import { DeadLettersTable } from './columns/dead-letters-table.ts';
import { DICTIONARY_FULL } from '../store/native/dictionary.ts';
import { LedgersTable } from './columns/ledgers-table.ts';
import { SpansTable } from './columns/spans-table.ts';
import type { Table } from '../store/native/table.ts';
import { decodeLedgers } from './ledger-decoder.ts';
import type { Hole, InboundMessage } from './message.ts';
import { SpanDecoder } from './span-decoder.ts';
import { TimeWindow } from './time-window.ts';

/** Bounded: these are label values and stand in dead_letters.Reason. */
type RejectReason =
  'malformed' | 'too_large' | 'out_of_window' | 'store_refused' | Hole['reason'] | 'internal';

/** What of a message was not stored but dead-lettered. */
export interface Rejection {
  readonly reason: RejectReason;
  readonly detail: string;
  /** Spans or ledgers, or messages of a hole; 0 = it could not be read, so nobody knows. */
  readonly items: number;
}

/** What became of one message. */
export interface Outcome {
  spans: number;
  ledgers: number;
  /** Log records that are no ledgers: counted, discarded. */
  otherLogs: number;
  rejected: Rejection[];
}

/** One table's share of a batch, ready to be inserted. */
export interface Block {
  readonly table: string;
  readonly bytes: Buffer;
  readonly rows: number;
}

/** A block above this is not kept: one flood must not pin memory. */
const KEPT_BLOCK_BYTES_MAX = 32 * 1024 * 1024;

export class Batch {
  readonly #spans = new SpansTable();
  readonly #ledgers = new LedgersTable();
  readonly #deadLetters = new DeadLettersTable();
  readonly #decoder = new SpanDecoder(this.#spans);
  readonly #tables: readonly Table[] = [this.#spans, this.#ledgers, this.#deadLetters];
  /** A block of spans that was given back. */
  #room: Buffer | undefined;
  /** Bytes that the messages since the last `seal` brought in or made. */
  bytes = 0;

  /** Rows of the largest table. */
  get rows(): number {
    return Math.max(...this.#tables.map((table) => table.rows));
  }

  /** True when a dictionary has grown so far that the block should be closed. */
  get hasFullDictionary(): boolean {
    return this.#spans.largestDictionary() >= DICTIONARY_FULL;
  }

  /** Takes one message in whole, or dead-letters it. */
  add(message: InboundMessage, window: TimeWindow): Outcome {
    const outcome: Outcome = { spans: 0, ledgers: 0, otherLogs: 0, rejected: [] };
    if (message.hole !== undefined) {
      this.#addHole(message, message.hole, window, outcome);
      return outcome;
    }
    const table = message.signal === 'traces' ? this.#spans : this.#ledgers;
    this.bytes += message.body.length;
    table.mark();
    try {
      const bytes =
        message.encoding === 'json' ? jsonToProtobuf(message.signal, message.body) : message.body;
      if (message.signal === 'traces') this.#addSpans(message, bytes, window, outcome);
      else this.#addLedgers(message, bytes, window, outcome);
    } catch (error) {
      table.rollback();
      outcome.spans = 0;
      outcome.ledgers = 0;
      outcome.otherLogs = 0;
      outcome.rejected = [];
      this.reject(
        message,
        { reason: reasonOf(error), detail: messageOf(error), items: 0 },
        window,
        outcome,
      );
    }
    return outcome;
  }

  #addSpans(
    message: InboundMessage,
    bytes: Uint8Array,
    window: TimeWindow,
    outcome: Outcome,
  ): void {
    outcome.spans = this.#decoder.decode(bytes, message.source, window);
    this.bytes += this.#decoder.expandedBytes;
    const { late } = this.#decoder;
    if (late.count === 0) return;
    const rejection: Rejection = {
      reason: 'out_of_window',
      detail: late.detail,
      items: late.count,
    };
    const { body, bodyBytes, hops } = late;
    this.#deadLetters.add({ ...message, ...rejection, hops, body, bodyBytes }, window.nowMs);
    this.bytes += body.length;
    outcome.rejected.push(rejection);
  }

  #addHole(message: InboundMessage, hole: Hole, window: TimeWindow, outcome: Outcome): void {
    const { offset } = message.source;
    const { reason, messages: items } = hole;
    const detail =
      reason === 'deleted_by_broker'
        ? `the broker deleted offsets ${offset} to ${offset + items - 1} before they were read`
        : `reading began at offset ${offset} without a position of the group; what was before is unknown`;
    this.reject(message, { reason, detail, items }, window, outcome);
  }

  #addLedgers(
    message: InboundMessage,
    bytes: Uint8Array,
    window: TimeWindow,
    outcome: Outcome,
  ): void {
    const counts = decodeLedgers(bytes, this.#ledgers, window);
    outcome.ledgers = counts.ledgers;
    outcome.otherLogs = counts.otherLogs;
    if (counts.late === 0) return;
    const detail = `${counts.late} of its ledgers have a time outside of what is kept`;
    this.reject(message, { reason: 'out_of_window', detail, items: counts.late }, window, outcome);
  }

  /** Dead-letters a whole message. */
  reject(
    message: InboundMessage,
    rejection: Rejection,
    window: TimeWindow,
    outcome: Outcome,
    hops: readonly { bootId: string; seq: number }[] = [],
  ): void {
    outcome.rejected.push(rejection);
    this.#deadLetters.add(
      { ...message, ...rejection, hops, bodyBytes: message.body.length },
      window.nowMs,
    );
  }

  /** Hops of a message that the store refused, for its dead letter. Leaves no rows behind. */
  hopsOf(message: InboundMessage): readonly { bootId: string; seq: number }[] {
    if (message.signal !== 'traces') return [];
    // A window that holds nothing collects every hop as late.
    const nothing = new TimeWindow(0, 0);
    const bytes =
      message.encoding === 'json' ? jsonToProtobuf(message.signal, message.body) : message.body;
    this.#spans.mark();
    try {
      this.#decoder.decode(bytes, message.source, nothing);
      return this.#decoder.late.hops;
    } catch {
      return [];
    } finally {
      this.#spans.rollback();
    }
  }

  /** A block per table that has rows. The batch is empty afterwards; the caller owns the blocks. */
  seal(): Block[] {
    const blocks: Block[] = [];
    for (const table of this.#tables) {
      if (table.rows === 0) continue;
      const room = table === this.#spans ? this.#room : undefined;
      blocks.push({ table: table.name, bytes: table.block(room), rows: table.rows });
    }
    this.#room = undefined;
    this.clear();
    return blocks;
  }

  /**
   * Takes back the blocks of a `seal` that nobody reads any more: the memory of the next ones. Tens of
   * megabytes a second of new memory would cost a tenth of the collector's CPU (measured).
   */
  reuse(blocks: readonly Block[]): void {
    const spans = blocks.find(({ table }) => table === this.#spans.name);
    if (spans === undefined || spans.bytes.buffer.byteLength > KEPT_BLOCK_BYTES_MAX) return;
    this.#room = Buffer.from(spans.bytes.buffer);
  }

  /** Forgets all rows; what was rejected is forgotten too. */
  clear(): void {
    for (const table of this.#tables) table.clear();
    this.#decoder.forget();
    this.bytes = 0;
  }

  /** A block of the named table's columns without rows. */
  emptyBlock(name: string): Buffer {
    return (this.#tables.find((table) => table.name === name) ?? this.#spans).emptyBlock();
  }
}

function reasonOf(error: unknown): RejectReason {
  if (error instanceof OtlpError) return 'malformed';
  if (error instanceof AzimuthError && error.code === 'AZ_OTLP_TOO_LARGE') return 'too_large';
  return 'internal';
}
