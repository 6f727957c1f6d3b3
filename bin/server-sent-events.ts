/**
 * Reads server-sent events (WHATWG HTML 9.2.6) from a response, as far as our own streams use them:
 * lines end with LF, an event has one `event` and one `data` line, comments are passed over.
 */
import type { Readable } from 'node:stream';

export interface ServerSentEvent {
  readonly event: string;
  readonly data: string;
}

/** Longest line that is taken: a hop needs about 1 kB. A longer one is none of ours. */
const LINE_CHARACTERS_MAX = 65_536;

/** Yields the events in turn; reads no further than is asked. Throws on a line that is too long. */
export async function* readEvents(stream: Readable): AsyncGenerator<ServerSentEvent> {
  stream.setEncoding('utf8');
  let rest = '';
  let event = 'message';
  let data = '';
  for await (const part of stream) {
    rest += part as string;
    let from = 0;
    for (let end = rest.indexOf('\n'); end >= 0; end = rest.indexOf('\n', from)) {
      const line = rest.slice(from, end);
      from = end + 1;
      if (line === '') {
        if (data !== '') yield { event, data };
        event = 'message';
        data = '';
      } else if (line.startsWith('event: ')) event = line.slice(7);
      else if (line.startsWith('data: ')) data = line.slice(6);
    }
    rest = rest.slice(from);
    if (rest.length > LINE_CHARACTERS_MAX) throw new Error('a line of the stream is too long');
  }
}
