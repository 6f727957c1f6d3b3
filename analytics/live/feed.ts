/**
 * Sends snapshots to the live pages that are open, as server-sent events. Pages with the same window
 * share one reader; nobody reading costs nothing. Snapshots are taken once a second, and more seldom
 * where the store needs long for one. A store that is away is said in an event of its own, and the
 * feed goes on trying.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { AzimuthError, messageOf } from '../../runtime/errors.ts';
import type { HttpRequest, HttpResponse } from '../../runtime/http-app.ts';
import type { StoreClient } from '../../store/client.ts';
import { parseDurationMs } from '../window.ts';
import { createSnapshotReader } from './snapshot.ts';

/** Windows that a page can choose, by their word in the URL. */
export const LIVE_WINDOWS = ['5m', '15m', '1h'] as const;
type LiveWindow = (typeof LIVE_WINDOWS)[number];

const EVERY_MS = 1000;
/** At most a fifth of the time goes into reading. */
const PAUSE_PER_READING = 4;
/** Pages at once; the next is told to come back. */
const READERS_MAX = 50;
/** A page that takes no bytes is cut off above this. */
const WAITING_BYTES_MAX = 4 * 1024 * 1024;

/** The pages with one window, and the event that they got last: one that joins need not wait. */
interface Room {
  readonly pages: Set<HttpResponse>;
  latest: string | undefined;
}

export interface LiveFeed {
  /** Answers `GET /api/live?last=5m`. */
  serve(req: HttpRequest, res: HttpResponse): void;
  /** Ends every open page's stream. */
  stop(): void;
}

export function createLiveFeed(settings: {
  readonly store: StoreClient;
  readonly retentionDays: number;
  readonly nowMs: () => number;
}): LiveFeed {
  const rooms = new Map<LiveWindow, Room>();
  let stopped = false;

  /** Reads for one window until nobody listens. */
  const run = async (last: LiveWindow, room: Room): Promise<void> => {
    const { pages } = room;
    const read = createSnapshotReader({ ...settings, lastMs: parseDurationMs(last) });
    while (pages.size > 0 && !stopped) {
      const startedMs = performance.now();
      let event: string;
      try {
        event = `event: snapshot\ndata: ${JSON.stringify(await read())}\n\n`;
      } catch (error) {
        const away = { error: messageOf(error), at: new Date(settings.nowMs()).toISOString() };
        event = `event: trouble\ndata: ${JSON.stringify(away)}\n\n`;
      }
      room.latest = event;
      for (const page of pages) send(page, event);
      const tookMs = performance.now() - startedMs;
      await sleep(Math.max(EVERY_MS - tookMs, PAUSE_PER_READING * tookMs));
    }
    if (rooms.get(last) === room) rooms.delete(last);
  };

  return {
    serve(req, res) {
      const word = new URL(req.url, 'http://localhost').searchParams.get('last') ?? '5m';
      const last = LIVE_WINDOWS.find((known) => known === word);
      if (last === undefined) {
        throw new AzimuthError('AZ_USAGE', `last is one of: ${LIVE_WINDOWS.join(', ')}`);
      }
      const open = [...rooms.values()].reduce((sum, { pages }) => sum + pages.size, 0);
      if (open >= READERS_MAX) {
        res
          .status(503)
          .set('retry-after', '10')
          .json({ error: `${READERS_MAX} pages are open` });
        return;
      }
      res.writeHead(200, {
        'content-type': 'text/event-stream',
        'cache-control': 'no-store',
        'x-accel-buffering': 'no',
      });
      res.write('retry: 2000\n\n');
      const known = rooms.get(last);
      const room: Room = known ?? { pages: new Set(), latest: undefined };
      room.pages.add(res);
      res.on('close', () => room.pages.delete(res));
      if (known === undefined) {
        rooms.set(last, room);
        void run(last, room);
      } else if (room.latest !== undefined) send(res, room.latest);
    },
    stop() {
      stopped = true;
      for (const { pages } of rooms.values()) for (const page of pages) page.end();
      rooms.clear();
    },
  };
}

function send(page: HttpResponse, event: string): void {
  if (page.writableLength > WAITING_BYTES_MAX) page.destroy();
  else page.write(event);
}
