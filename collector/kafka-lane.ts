/**
 * One partition of Kafka on its way into the store. Several slices of it may be in flight at once, so
 * that fetching, decoding and inserting overlap; commits follow the order of the partition all the same:
 *
 *     offsets   0 ........ 499 | 500 ....... 999 | 1000 ..... 1499 |
 *               stored           in flight         stored            <- next fetch
 *               committed: 500   (1500 only when 500 .. 999 are stored too)
 *
 *   Open    -> Open      a slice is stored: everything stored without a gap before it is committed
 *   Open    -> Resting   a slice is refused: no fetch, nothing new; what is in flight ends
 *   Resting -> Open      after a pause, at the first message that is not stored; stored ones behind
 *                        it are read again and stored twice, and no figure counts them twice
 *   any     -> Retired   the group was joined anew: commits nothing any more, whoever has the
 *                        partition now begins at what was committed
 *
 * Never commits past a message that is not stored, and skips none.
 */
import { AzimuthError, messageOf } from '../runtime/errors.ts';
import type { Log } from '../runtime/log.ts';
import type { ConsumedBatch, ConsumedMessage } from '../transport/kafka/kafka-consumer.ts';
import type { Signal } from '../transport/exporter.ts';
import type { ByteRoom } from './byte-room.ts';
import type { Hole } from './message.ts';
import type { InboundMessage, Pipeline } from './pipeline.ts';

/** What the lanes of a receiver share. */
export interface LaneContext {
  readonly pipeline: Pick<Pipeline, 'accept'>;
  readonly log: Log;
  readonly room: ByteRoom;
  /** From then on nothing new is begun. */
  readonly stopping: AbortSignal;
  readonly backOffBaseMs: number | undefined;
  /** While a batch waits for room. */
  readonly heartbeatEveryMs: number;
  /** Counters of the receiver, which the lanes add to. */
  readonly counts: {
    messages: number;
    bytes: number;
    emptyMessages: number;
    retries: number;
    commits: number;
    commitFailures: number;
    deleted: number;
    beganPastStart: number;
  };
  readonly onCommitted: () => void;
  /** `mayPass`: the pipeline asked to come again. */
  readonly onRefused: (error: unknown, mayPass: boolean) => void;
  readonly onCommitFailed: (error: unknown) => void;
}

interface LaneSource {
  readonly topic: string;
  readonly partition: number;
  readonly signal: Signal;
}

interface FoundHole extends Hole {
  /** As the source of its dead letter has it. */
  readonly offset: number;
}

/** Messages that the pipeline has got in one call. */
interface Slice {
  /** Where to read again when it is not stored. */
  readonly from: number;
  readonly nextOffset: number;
  readonly batch: ConsumedBatch;
  readonly messages: number;
  readonly bytes: number;
  readonly emptyMessages: number;
  /** Goes with it. */
  readonly hole: FoundHole | undefined;
  stored: boolean;
}

/** One accept() takes at most so much of a partition: bounds memory and the time to a commit. */
const SLICE = { messages: 500, bytes: 4 * 1024 * 1024 } as const;
/** A partition whose slice was not accepted rests, doubling. */
const RETRY_MS = { base: 250, max: 10_000 } as const;
const OPENING_BRACE = 0x7b;
const NO_BODY = new Uint8Array(0);

export class KafkaLane {
  readonly #source: LaneSource;
  readonly #context: LaneContext;
  /** Offset that the next message should have; undefined until the group's own was asked for. */
  #next: number | undefined;
  /** Where a group without a position began, until that is on its way. */
  #began: FoundHole | undefined;
  /** Everything before it is committed. */
  #committed: number;
  #highWatermark = 0;
  /** In the order of the partition. */
  #slices: Slice[] = [];
  /** Calls of the pipeline that have not come back. */
  #open = 0;
  #committing = false;
  /** Stored and to be committed, or whose commit failed. */
  #due: { readonly nextOffset: number; readonly batch: ConsumedBatch } | undefined;
  /** Rejections in a row. */
  #failures = 0;
  #lastRefusal: unknown;
  /** Set while it rests: fetches again, at an offset if one is given. */
  #resume: ((offset?: number) => void) | undefined;
  #timer: NodeJS.Timeout | undefined;
  /** True from a rewind until messages came after it. */
  #rewound = false;
  #retired = false;
  #idle: (() => void)[] = [];

  /** `firstOffset`: of the first message that was fetched of the partition. */
  constructor(source: LaneSource, firstOffset: number, context: LaneContext) {
    this.#source = source;
    this.#context = context;
    this.#committed = firstOffset;
  }

  /** Messages known to be in the partition that are not committed. */
  get lag(): number {
    return Math.max(0, this.#highWatermark - this.#committed);
  }

  /** Resolves when all of the batch was handed on, or need not be; not when it is stored. */
  async take(batch: ConsumedBatch): Promise<void> {
    this.#highWatermark = batch.highWatermark;
    if (this.#context.stopping.aborted || this.#resume !== undefined) {
      // Else it would be fetched again and again.
      batch.pause();
      return;
    }
    const group = { rebalances: false };
    const heartbeat = setInterval(() => {
      batch.heartbeat().catch(() => {
        group.rebalances = true;
        this.#context.room.wake();
      });
    }, this.#context.heartbeatEveryMs);
    // While the group rebalances it waits for us: what follows goes to whoever gets it.
    const mayGoOn = (): boolean =>
      !group.rebalances &&
      !this.#retired &&
      this.#resume === undefined &&
      !this.#context.stopping.aborted &&
      batch.isCurrent();
    try {
      await this.#handOn(batch, mayGoOn);
    } finally {
      clearInterval(heartbeat);
    }
  }

  async #handOn(batch: ConsumedBatch, mayGoOn: () => boolean): Promise<void> {
    const firstOffset = batch.messages[0]!.offset;
    let hole: FoundHole | undefined;
    try {
      hole = await this.#holeBefore(batch, firstOffset);
    } catch (error) {
      this.#rest(batch, error);
      return;
    }
    const deleted = hole?.reason === 'deleted_by_broker' ? hole.messages : 0;
    if (this.#rewound && firstOffset - deleted > this.#next!) {
      // Fetched before the rewind, by way of another broker? Once more; if there is nothing, it is so.
      this.#rewound = false;
      batch.pause()(this.#next);
      return;
    }
    this.#rewound = false;
    const { room } = this.#context;
    for (const messages of slicesOf(batch.messages)) {
      const bytes = bytesOf(messages);
      while (mayGoOn() && !room.has(bytes)) await room.change();
      if (!mayGoOn()) return;
      this.#send(batch, messages, bytes, hole);
      hole = undefined;
    }
  }

  /**
   * Messages that the broker deleted before we read them: between the offset that should come next
   * and the one that came. Offsets that are missing for other reasons (transaction markers, a topic
   * that is compacted) lie behind the oldest that the broker has. Where the group has no position
   * yet nothing tells which of those before the oldest it should have read.
   */
  async #holeBefore(batch: ConsumedBatch, firstOffset: number): Promise<FoundHole | undefined> {
    if (this.#next !== undefined && firstOffset <= this.#next) return this.#began;
    const { committed, oldest } = await batch.positions();
    const end = Math.min(oldest, firstOffset);
    if (this.#next === undefined && committed === undefined) {
      this.#next = firstOffset;
      if (end > 0) this.#began = { reason: 'before_first_read', offset: end, messages: end };
      return this.#began;
    }
    const offset = (this.#next ??= committed ?? firstOffset);
    const messages = end - offset;
    return messages > 0 ? { reason: 'deleted_by_broker', offset, messages } : this.#began;
  }

  #send(
    batch: ConsumedBatch,
    consumed: readonly ConsumedMessage[],
    bytes: number,
    hole: FoundHole | undefined,
  ): void {
    const { topic, partition, signal } = this.#source;
    const messages: InboundMessage[] = [];
    if (hole !== undefined) {
      const source = { name: topic, partition, offset: hole.offset };
      messages.push({ signal, encoding: 'protobuf', body: NO_BODY, source, hole });
      if (hole === this.#began) this.#began = undefined;
    }
    for (const { offset, value } of consumed) {
      if (value === null || value.length === 0) continue;
      messages.push({
        signal,
        // No OTLP protobuf begins with a brace: it would be a field of a kind that OTLP never had.
        encoding: value[0] === OPENING_BRACE ? 'json' : 'protobuf',
        body: value,
        source: { name: topic, partition, offset },
      });
    }
    const last = consumed.at(-1)!.offset;
    const full = messages.length - (hole === undefined ? 0 : 1);
    const slice: Slice = {
      from: hole?.reason === 'deleted_by_broker' ? hole.offset : consumed[0]!.offset,
      nextOffset: last + 1,
      batch,
      messages: full,
      bytes,
      emptyMessages: consumed.length - full,
      hole,
      stored: false,
    };
    this.#slices.push(slice);
    this.#next = slice.nextOffset;
    batch.resolve(last);
    void this.#store(slice, messages);
  }

  async #store(slice: Slice, messages: readonly InboundMessage[]): Promise<void> {
    const { room, pipeline } = this.#context;
    this.#open++;
    room.enter(slice.bytes);
    try {
      if (messages.length > 0) await pipeline.accept(messages);
      slice.stored = true;
    } catch (error) {
      this.#rest(slice.batch, error);
    }
    this.#open--;
    this.#advance();
    if (this.#open === 0) this.#afterRest();
    room.leave(slice.bytes);
    this.#tellIdle();
  }

  /** Forgets what is stored without a gap before it, and commits it. */
  #advance(): void {
    let done: Slice | undefined;
    while (this.#slices[0]?.stored === true) {
      done = this.#slices.shift()!;
      this.#count(done);
    }
    if (done === undefined) return;
    this.#failures = 0;
    // Not asked here whether we are being stopped: what is stored is committed all the same.
    this.#due = { nextOffset: done.nextOffset, batch: done.batch };
    void this.#commit();
  }

  #count({ messages, bytes, emptyMessages, hole }: Slice): void {
    const { counts } = this.#context;
    counts.messages += messages;
    counts.bytes += bytes;
    counts.emptyMessages += emptyMessages;
    if (hole !== undefined) this.#tellOf(hole);
  }

  #tellOf({ reason, offset, messages }: FoundHole): void {
    const { counts, log } = this.#context;
    const { topic, partition } = this.#source;
    if (reason === 'deleted_by_broker') {
      counts.deleted += messages;
      const fields = { topic, partition, from: offset, messages };
      log.error('the broker deleted messages before they were read', fields);
    } else {
      counts.beganPastStart++;
      const fields = { topic, partition, began: offset };
      log.warn('the group has no position here; what was before is unknown', fields);
    }
  }

  /** Commits what is due, one commit at a time; what is stored meanwhile goes with the next. */
  async #commit(): Promise<void> {
    if (this.#committing) return;
    const { counts, log, onCommitted, onCommitFailed } = this.#context;
    this.#committing = true;
    for (let due = this.#due; due !== undefined && !this.#retired;) {
      try {
        await due.batch.commit(due.nextOffset);
        counts.commits++;
        this.#committed = Math.max(this.#committed, due.nextOffset);
        onCommitted();
        if (this.#due === due) this.#due = undefined;
        due = this.#due;
      } catch (error) {
        // Not lost: stored already, and either committed later or replayed.
        counts.commitFailures++;
        onCommitFailed(error);
        log.debug('commit failed', { ...this.#source, error: messageOf(error) });
        due = this.#due === due ? undefined : this.#due;
      }
    }
    this.#committing = false;
    this.#tellIdle();
  }

  /** Commits what failed to be committed before; an idle partition would stay behind. */
  async recommit(): Promise<void> {
    if (this.#due !== undefined) await this.#commit();
  }

  /** No fetch until what is in flight has ended, and a pause is over. */
  #rest(batch: ConsumedBatch, error: unknown): void {
    const { counts, log, onRefused } = this.#context;
    this.#lastRefusal = error;
    onRefused(error, error instanceof AzimuthError && error.retryable);
    if (this.#retired || this.#resume !== undefined) return;
    counts.retries++;
    if (this.#failures++ % 10 === 0)
      log.warn('messages were not accepted; they are read again', {
        ...this.#source,
        error: messageOf(error),
        failures: this.#failures,
      });
    this.#resume = batch.pause();
    if (this.#open === 0) this.#afterRest();
  }

  /** Nothing is in flight any more: after a pause on from the first message that is not stored. */
  #afterRest(): void {
    if (this.#resume === undefined || this.#timer !== undefined) return;
    const first = this.#slices[0];
    this.#slices = [];
    this.#timer = setTimeout(() => {
      const resume = this.#resume;
      this.#resume = this.#timer = undefined;
      if (this.#retired || first === undefined) {
        resume?.();
        return;
      }
      this.#next = first.from;
      if (first.hole?.reason === 'before_first_read') this.#began = first.hole;
      this.#rewound = true;
      resume?.(first.from);
    }, this.#restMs());
    // A process that stops does not wait for it.
    this.#timer.unref();
  }

  #restMs(): number {
    const error = this.#lastRefusal;
    const base = this.#context.backOffBaseMs ?? RETRY_MS.base;
    const doubled = base * 2 ** Math.min(Math.max(this.#failures - 1, 0), 10);
    const askedMs = error instanceof AzimuthError ? (error.retryAfterS ?? 0) * 1000 : 0;
    return Math.min(Math.max(doubled, askedMs), RETRY_MS.max) * (0.8 + Math.random() / 5);
  }

  /** The partition may be somebody else's now. */
  retire(): void {
    this.#retired = true;
    this.#due = undefined;
  }

  /** Resolves when nothing is in flight: stored and committed, or refused. */
  async settled(): Promise<void> {
    while (this.#open > 0 || this.#committing)
      await new Promise<void>((resolve) => this.#idle.push(resolve));
  }

  #tellIdle(): void {
    const waiting = this.#idle;
    this.#idle = [];
    for (const look of waiting) look();
  }
}

const bytesOf = (messages: readonly ConsumedMessage[]): number =>
  messages.reduce((bytes, { value }) => bytes + (value?.length ?? 0), 0);

function* slicesOf(messages: readonly ConsumedMessage[]): Generator<readonly ConsumedMessage[]> {
  let start = 0;
  let bytes = 0;
  for (const [at, { value }] of messages.entries()) {
    const more = value?.length ?? 0;
    if (at > start && (at - start >= SLICE.messages || bytes + more > SLICE.bytes)) {
      yield messages.slice(start, at);
      start = at;
      bytes = 0;
    }
    bytes += more;
  }
  if (start < messages.length) yield messages.slice(start);
}
