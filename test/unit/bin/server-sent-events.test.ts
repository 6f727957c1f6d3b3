import assert from 'node:assert/strict';
import { Readable } from 'node:stream';
import { readEvents, type ServerSentEvent } from '../../../bin/server-sent-events.ts';

async function eventsOf(parts: readonly (string | Buffer)[]): Promise<ServerSentEvent[]> {
  const events: ServerSentEvent[] = [];
  const bytes = parts.map((part) => Buffer.from(part));
  for await (const event of readEvents(Readable.from(bytes, { objectMode: false }))) {
    events.push(event);
  }
  return events;
}

describe('readEvents', () => {
  const text = ': hello\n\nevent: hop\ndata: {"route":"/caf\u00e9"}\n\n: beat\n\ndata: plain\n\n';
  const wanted = [
    { event: 'hop', data: '{"route":"/caf\u00e9"}' },
    { event: 'message', data: 'plain' },
  ];

  it('reads events and passes over comments', async () => {
    assert.deepEqual(await eventsOf([text]), wanted);
  });

  it('reads the same when the bytes come one at a time', async () => {
    const single = [...Buffer.from(text)].map((byte) => Buffer.from([byte]));
    assert.deepEqual(await eventsOf(single), wanted);
  });

  it('leaves out an event that was cut off', async () => {
    assert.deepEqual(await eventsOf(['event: hop\ndata: {"half":']), []);
  });

  it('gives up on a line without end', async () => {
    await assert.rejects(eventsOf(['data: ', 'x'.repeat(100_000)]), /too long/);
  });
});
