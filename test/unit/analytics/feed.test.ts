import assert from 'node:assert/strict';
import { createLiveFeed } from '../../../analytics/live/feed.ts';
import type { HttpRequest, HttpResponse } from '../../../runtime/http-app.ts';
import type { StoreClient } from '../../../store/client.ts';

/** A page as the feed sees it. */
function page(): { res: HttpResponse; got: string[]; event: Promise<string> } {
  const got: string[] = [];
  const { promise, resolve } = Promise.withResolvers<string>();
  const res = {
    writableLength: 0,
    writeHead: () => res,
    on: () => res,
    end: () => undefined,
    write(text: string) {
      got.push(text);
      if (text.startsWith('event: ')) resolve(text);
    },
  };
  return { res: res as unknown as HttpResponse, got, event: promise };
}

describe('the live feed', () => {
  it('gives a page that joins others what they got last, without asking the store again', async () => {
    let asked = 0;
    const store = {
      query: () => {
        asked++;
        return Promise.reject(new Error('away'));
      },
    } as unknown as StoreClient;
    const feed = createLiveFeed({ store, retentionDays: 7, nowMs: () => 0 });
    const req = { url: '/api/live?last=5m' } as unknown as HttpRequest;
    const first = page();
    feed.serve(req, first.res);
    const event = await first.event;
    assert.match(event, /^event: trouble\ndata: .*away/);
    const before = asked;
    const second = page();
    feed.serve(req, second.res);
    assert.deepEqual(second.got, ['retry: 2000\n\n', event]);
    assert.equal(asked, before);
    feed.stop();
  });
});
