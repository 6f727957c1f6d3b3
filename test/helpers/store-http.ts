/**
 * Raw HTTP to a store, as curl would send it: for what a client library hides (status, headers,
 * broken connections). And `until`, which waits for a condition instead of for a time.
 */
import { Agent, request, type IncomingHttpHeaders } from 'node:http';

export interface Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: Buffer;
  /** False when the connection ended before the answer did. */
  readonly complete: boolean;
}

export interface Question {
  /** Parameters of the URL. */
  readonly url?: Readonly<Record<string, string>>;
  readonly body?: string | Uint8Array;
  readonly headers?: Readonly<Record<string, string>>;
  readonly method?: string;
  readonly path?: string;
  /** Default: the store's own user and password; null sends none. */
  readonly auth?: string | null;
  readonly signal?: AbortSignal;
}

interface Access {
  readonly url: string;
  readonly user: string;
  readonly password: string;
}

/** Rejects only when no answer began. */
export function ask(store: Access, question: Question): Promise<Answer> {
  const query = new URLSearchParams(question.url).toString();
  const url = new URL(`${question.path ?? '/'}${query === '' ? '' : `?${query}`}`, store.url);
  const auth = question.auth === undefined ? `${store.user}:${store.password}` : question.auth;
  return new Promise((resolve, reject) => {
    const sent = request(
      url,
      {
        method: question.method ?? (question.body === undefined ? 'GET' : 'POST'),
        agent: new Agent({ keepAlive: false }),
        headers: {
          ...(auth === null
            ? {}
            : { authorization: `Basic ${Buffer.from(auth).toString('base64')}` }),
          ...question.headers,
        },
        ...(question.signal === undefined ? {} : { signal: question.signal }),
      },
      (res) => {
        const chunks: Buffer[] = [];
        const done = (): void =>
          resolve({
            status: res.statusCode ?? 0,
            headers: res.headers,
            body: Buffer.concat(chunks),
            complete: res.complete,
          });
        res.on('data', (chunk: Buffer) => chunks.push(chunk));
        res.on('error', done);
        res.on('end', done);
      },
    );
    sent.on('error', reject);
    sent.end(question.body);
  });
}
