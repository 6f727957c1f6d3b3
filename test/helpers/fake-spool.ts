/** A spool in memory: appends wait until the test lets them, or answer at once. */
import type { OutboundMessage } from '../../transport/exporter.ts';
import type { QueueSpool } from '../../transport/spool/replays.ts';
import type { SpooledRecord } from '../../transport/spool/spool-folder.ts';
import type { Taken } from '../../transport/spool/spool.ts';

export class FakeSpool implements QueueSpool {
  readonly stored: SpooledRecord[] = [];
  readonly settled: { items: number; dropped: number; reason: string }[] = [];
  /** Messages of earlier processes are handed out first and are not `items`. */
  readonly inherited: SpooledRecord[] = [];
  /** Handed out in front of everything else. */
  readonly news: Taken[] = [];
  items = 0;
  /** Messages that the disk still takes. */
  room = Infinity;
  /** Appends stand still. */
  hangs = false;
  wallMs = 0;

  get bytes(): number {
    return this.stored.reduce((sum, { body }) => sum + body.byteLength, 0);
  }

  get hasUnread(): boolean {
    return this.stored.length + this.inherited.length + this.news.length > 0;
  }

  async append(message: OutboundMessage): Promise<boolean> {
    if (this.hangs) return new Promise(() => undefined);
    await Promise.resolve();
    if (this.room <= 0) return false;
    this.room--;
    this.stored.push({ ...message, writtenAtMs: this.wallMs });
    this.items += message.items;
    return true;
  }

  async take(): Promise<Taken | undefined> {
    await Promise.resolve();
    const news = this.news.shift();
    if (news !== undefined) {
      if (news.kind !== 'message') this.items -= news.items;
      return news;
    }
    const inherited = this.inherited.shift();
    if (inherited !== undefined) return { kind: 'message', record: inherited, own: false };
    const record = this.stored.shift();
    return record === undefined ? undefined : { kind: 'message', record, own: true };
  }

  settle(record: SpooledRecord, dropped: number, reason: string): Promise<void> {
    this.settled.push({ items: record.items, dropped, reason });
    this.items -= record.items;
    return Promise.resolve();
  }
}
