/**
 * How the admin application asks the processes that carry requests: a question by topic that each
 * answers with one JSON-able value, or a feed of events that it follows. With one process the
 * questions are function calls; with workers they cross a channel, and a worker that does not
 * answer in time is named as such instead of holding up the others.
 *
 *     admin ──ask──► Members ──► each worker's Topics ──► answers, one per worker
 *
 * Never on the request path. A topic's functions run on the event loop that carries requests: they
 * read counters, they do not search.
 */
import { messageOf } from '../../runtime/errors.ts';

/** What one process can tell about itself. Values and events must survive JSON. */
export interface Topics {
  readonly snapshots: Readonly<Record<string, (argument: unknown) => unknown>>;
  /** Begins to emit events; the returned function stops it. */
  readonly feeds: Readonly<Record<string, (argument: unknown, emit: Emit) => () => void>>;
}

/** Hands one event on. False: the reader is behind, leave events out and count them. */
export type Emit = (event: unknown) => boolean;

/** A process that carries requests. */
export interface Member {
  /** From 0; the place among the workers, which a replacement takes over. */
  readonly worker: number;
  readonly pid: number;
  readonly boot_id: string;
}

/** What a member answered, or why there is no answer. */
export type Answer<T> = Member & ({ readonly value: T } | { readonly error: string });

export interface Members {
  /** One answer for each member, in the order of the workers. Never rejects. Default deadline 1 s. */
  ask<T>(topic: string, argument?: unknown, deadlineMs?: number): Promise<readonly Answer<T>[]>;
  /** Events of all members, also of those that come later, until the returned function is called. */
  follow(
    topic: string,
    argument: unknown,
    onEvent: (event: unknown, from: Member) => void,
  ): () => void;
}

/** Long for a function call over a channel, short for a person who waits. */
const ASK_DEADLINE_MS = 1_000;

/** The only member is this process. */
export function createLocalMembers(member: Member, topics: Topics): Members {
  return {
    ask: <T>(topic: string, argument?: unknown) =>
      Promise.resolve([{ ...member, ...answerOf(topics, topic, argument) } as Answer<T>]),
    follow: (topic, argument, onEvent) =>
      startFeed(topics, topic, argument, (event) => {
        onEvent(event, member);
        return true;
      }),
  };
}

/** From the primary to a worker. */
export type Question =
  | {
      readonly kind: 'ask';
      readonly id: number;
      readonly topic: string;
      readonly argument: unknown;
    }
  | {
      readonly kind: 'follow';
      readonly id: number;
      readonly topic: string;
      readonly argument: unknown;
    }
  | { readonly kind: 'unfollow'; readonly id: number };

/** From a worker to the primary. */
export type Reply =
  | { readonly kind: 'answer'; readonly id: number; readonly value: unknown }
  | { readonly kind: 'no_answer'; readonly id: number; readonly error: string }
  | { readonly kind: 'event'; readonly id: number; readonly event: unknown };

/**
 * A worker's side: call the returned function with each question. `send` returns false while the
 * channel is behind.
 */
export function createResponder(
  topics: Topics,
  send: (reply: Reply) => boolean,
): (question: Question) => void {
  const feeds = new Map<number, () => void>();
  return (question) => {
    const { id } = question;
    if (question.kind === 'ask') {
      const answer = answerOf(topics, question.topic, question.argument);
      send('error' in answer ? { kind: 'no_answer', id, ...answer } : { kind: 'answer', id, ...answer }); // prettier-ignore
    } else if (question.kind === 'follow') {
      const emit: Emit = (event) => send({ kind: 'event', id, event });
      feeds.set(id, startFeed(topics, question.topic, question.argument, emit));
    } else {
      feeds.get(id)?.();
      feeds.delete(id);
    }
  };
}

interface Follower {
  readonly topic: string;
  readonly argument: unknown;
  readonly onEvent: (event: unknown, from: Member) => void;
}

/** The primary's side: members come and go, questions go to all that are there. */
export class WorkerMembers implements Members {
  readonly #members = new Map<Member, (question: Question) => void>();
  readonly #open = new Map<number, (from: Member, reply: Reply) => void>();
  readonly #followers = new Map<number, Follower>();
  #lastId = 0;

  /** A worker is ready; it joins what is being followed. */
  add(member: Member, send: (question: Question) => void): void {
    this.#members.set(member, send);
    for (const [id, { topic, argument }] of this.#followers) {
      send({ kind: 'follow', id, topic, argument });
    }
  }

  /** A worker is gone: whoever waits for its answer is told. */
  remove(member: Member): void {
    if (!this.#members.delete(member)) return;
    for (const [id, settle] of this.#open) {
      settle(member, { kind: 'no_answer', id, error: 'the worker ended' });
    }
  }

  /** Takes a reply; one that nobody waits for any more is left out. */
  receive(from: Member, reply: Reply): void {
    if (reply.kind === 'event') this.#followers.get(reply.id)?.onEvent(reply.event, from);
    else this.#open.get(reply.id)?.(from, reply);
  }

  async ask<T>(
    topic: string,
    argument?: unknown,
    deadlineMs = ASK_DEADLINE_MS,
  ): Promise<readonly Answer<T>[]> {
    const asked = [...this.#members.keys()];
    const answers = new Map<Member, Answer<T>>();
    const id = ++this.#lastId;
    if (asked.length > 0) {
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, deadlineMs);
        this.#open.set(id, (from, reply) => {
          if (reply.kind === 'event' || answers.has(from)) return;
          answers.set(
            from,
            reply.kind === 'answer'
              ? { ...from, value: reply.value as T }
              : { ...from, error: reply.error },
          );
          if (answers.size < asked.length) return;
          clearTimeout(timer);
          resolve();
        });
        for (const member of asked) {
          this.#members.get(member)?.({ kind: 'ask', id, topic, argument });
        }
      });
      this.#open.delete(id);
    }
    return asked
      .map((m) => answers.get(m) ?? { ...m, error: `no answer within ${deadlineMs} ms` })
      .sort((a, b) => a.worker - b.worker);
  }

  follow(
    topic: string,
    argument: unknown,
    onEvent: (event: unknown, from: Member) => void,
  ): () => void {
    const id = ++this.#lastId;
    this.#followers.set(id, { topic, argument, onEvent });
    for (const send of this.#members.values()) send({ kind: 'follow', id, topic, argument });
    return () => {
      if (!this.#followers.delete(id)) return;
      for (const send of this.#members.values()) send({ kind: 'unfollow', id });
    };
  }
}

function answerOf(
  topics: Topics,
  topic: string,
  argument: unknown,
): { value: unknown } | { error: string } {
  const snapshot = Object.hasOwn(topics.snapshots, topic) ? topics.snapshots[topic] : undefined;
  if (snapshot === undefined) return { error: `there is no topic ${topic}` };
  try {
    return { value: snapshot(argument) };
  } catch (error) {
    return { error: messageOf(error) };
  }
}

function startFeed(topics: Topics, topic: string, argument: unknown, emit: Emit): () => void {
  const feed = Object.hasOwn(topics.feeds, topic) ? topics.feeds[topic] : undefined;
  return feed?.(argument, emit) ?? (() => undefined);
}
