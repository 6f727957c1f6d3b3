/**
 * What comes back from the spool, on its way to the next: taken one after the other, sent, and
 * settled on disk when it was acknowledged or given up.
 *
 *     spool ─ take ─► sent ─► acknowledged or refused: settled
 *                      ▲ └──► failed, can be retried: waits here for its next turn
 *                      └───────────────────────────────┘
 *
 * At most as many messages are in memory as sends are open. Counts only hops of this process; those
 * of earlier ones are counted in their own ledgers, by the spool.
 */
import type { DropReason } from '../../telemetry/ledger.ts';
import type { OutboundMessage } from '../exporter.ts';
import type { SendFailure } from '../send-failure.ts';
import type { Spool } from './spool.ts';
import type { SpooledRecord } from './spool-folder.ts';

/** What the queue and its replays use of a spool. */
export type QueueSpool = Pick<
  Spool,
  'append' | 'take' | 'settle' | 'hasUnread' | 'items' | 'bytes'
>;

export interface ReplaysSettings {
  readonly spool: QueueSpool;
  /** What lay on disk for longer is dropped. */
  readonly ageMaxMs: number;
  /** Unix milliseconds. */
  readonly wallMs: () => number;
  readonly send: (
    message: OutboundMessage,
    sent: () => void,
    failed: (failure: SendFailure) => void,
  ) => void;
  readonly onEmitted: (items: number) => void;
  readonly onDropped: (items: number, reason: DropReason) => void;
  /** A place is free again, or something was taken. */
  readonly onChange: () => void;
}

interface Replay {
  readonly record: SpooledRecord;
  readonly own: boolean;
}

export class Replays {
  readonly #settings: ReplaysSettings;
  #waiting: Replay[] = [];
  #inFlight = 0;
  #taking = false;
  #stopped = false;

  constructor(settings: ReplaysSettings) {
    this.#settings = settings;
  }

  /** Sends under way, one that is being read included. */
  get places(): number {
    return this.#inFlight + (this.#taking ? 1 : 0);
  }

  /** Begins one send; false when there is nothing to be sent now. */
  begin(): boolean {
    if (this.#stopped) return false;
    const replay = this.#waiting.shift();
    if (replay !== undefined) {
      this.#send(replay);
      return true;
    }
    if (this.#taking || !this.#settings.spool.hasUnread) return false;
    this.#taking = true;
    void this.#take();
    return true;
  }

  /** Begins nothing any more: what is on disk is safe there. */
  stop(): void {
    this.#stopped = true;
  }

  async #take(): Promise<void> {
    const { spool, ageMaxMs, wallMs, onEmitted, onDropped, onChange } = this.#settings;
    const taken = await spool.take();
    this.#taking = false;
    if (taken?.kind === 'damaged') onDropped(taken.items, 'spool_damaged');
    else if (taken?.kind === 'handed_on') onEmitted(taken.items);
    else if (taken?.kind === 'message' && !this.#stopped) {
      const { record, own } = taken;
      if (wallMs() - record.writtenAtMs > ageMaxMs)
        this.#settle({ record, own }, record.items, 'deadline');
      else this.#send({ record, own });
    }
    onChange();
  }

  #send(replay: Replay): void {
    this.#inFlight++;
    this.#settings.send(
      replay.record,
      () => {
        this.#inFlight--;
        this.#settle(replay, 0, 'refused');
      },
      (failure) => {
        this.#inFlight--;
        if (failure.retryable) this.#waiting.push(replay);
        else this.#settle(replay, failure.items, failure.reason);
      },
    );
  }

  /** `dropped` of its items are lost for `reason`, the others arrived. */
  #settle({ record, own }: Replay, dropped: number, reason: DropReason): void {
    if (own) {
      this.#settings.onEmitted(record.items - dropped);
      this.#settings.onDropped(dropped, reason);
    }
    void this.#settings.spool.settle(record, dropped, reason);
  }
}
