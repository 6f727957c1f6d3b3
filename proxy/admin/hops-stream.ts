/**
 * `/hops`: finished hops of all processes as server-sent events.
 *
 *     data plane ──follow──► filter, rate ──► reader's socket, up to READER_BYTES_MAX waiting
 *
 * A reader that is too slow loses events, told how many by an event `left_out`; nothing is kept for
 * it beyond its socket's buffer. Readers are few: past READERS_MAX one is turned away.
 */
import type { HttpRequest, HttpResponse } from '../../runtime/http-app.ts';
import type { Member, Members } from '../workers/snapshots.ts';
import type { FeedEvent } from './hop-feed.ts';
import { parseHopFilter } from './hop-filter.ts';
import type { ReaderCounts } from './metrics-page.ts';

/** Each reader costs the data plane one comparison a hop. People watch; machines use the store. */
export const READERS_MAX = 16;
/** Some 500 events: longer than a terminal stalls, and all readers together hold 4 MB. */
const READER_BYTES_MAX = 262_144;
/** Below the usual 60 s after which proxies and browsers give up a silent stream. */
const HEARTBEAT_MS = 10_000;

export class HopsStream {
  readonly #members: Members;
  readonly #heartbeatMs: number;
  #readers = 0;
  #leftOut = 0;
  #turnedAway = 0;

  constructor(members: Members, heartbeatMs = HEARTBEAT_MS) {
    this.#members = members;
    this.#heartbeatMs = heartbeatMs;
  }

  /** For `/metrics`. */
  counts(): ReaderCounts {
    return { readers: this.#readers, leftOut: this.#leftOut, turnedAway: this.#turnedAway };
  }

  /** Answers one GET /hops; the stream ends when the client goes or the server closes. */
  serve(req: HttpRequest, res: HttpResponse): void {
    const parsed = parseHopFilter(req.query);
    if ('fault' in parsed) {
      res.status(400).json({ error: parsed.fault });
      return;
    }
    if (this.#readers >= READERS_MAX) {
      this.#turnedAway++;
      res.status(503).set('retry-after', '5');
      res.json({
        error: `${READERS_MAX} readers of /hops are connected, which is all there may be`,
      });
      return;
    }
    this.#readers++;
    res.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-store' });
    const reader = new Reader(res);
    const unfollow = this.#members.follow('hops', parsed.filter, (event, from) => {
      this.#leftOut += reader.take(event as FeedEvent, from);
    });
    // Only now: who has the head misses no hop that finishes after it.
    res.write(': hops as they finish\n\n');
    const heartbeat = setInterval(() => reader.beat(), this.#heartbeatMs);
    res.once('close', () => {
      clearInterval(heartbeat);
      unfollow();
      this.#readers--;
    });
    res.on('error', () => res.destroy());
  }
}

class Reader {
  readonly #res: HttpResponse;
  /** Cumulative, by process. */
  readonly #feedLeftOut = new Map<Member, number>();
  #leftOut = 0;
  #told = 0;

  constructor(res: HttpResponse) {
    this.#res = res;
  }

  /** Writes the event or leaves it out; returns how many more were left out than before. */
  take({ hop, left_out: feedLeftOut }: FeedEvent, from: Member): number {
    const before = this.#leftOut;
    this.#leftOut += feedLeftOut - (this.#feedLeftOut.get(from) ?? 0);
    this.#feedLeftOut.set(from, feedLeftOut);
    if (this.#res.writableLength > READER_BYTES_MAX) this.#leftOut++;
    else {
      this.#tell();
      this.#res.write(`event: hop\ndata: ${JSON.stringify({ worker: from.worker, ...hop })}\n\n`);
    }
    return this.#leftOut - before;
  }

  /** Shows that the stream lives, unless the reader is behind anyway. */
  beat(): void {
    if (this.#res.writableLength > READER_BYTES_MAX) return;
    this.#tell();
    this.#res.write(': still here\n\n');
  }

  #tell(): void {
    if (this.#leftOut === this.#told) return;
    this.#told = this.#leftOut;
    this.#res.write(`event: left_out\ndata: {"left_out":${this.#leftOut}}\n\n`);
  }
}
