/**
 * A pipeline that remembers what it was handed and stores nothing. `outcome` may reject a call, as
 * the real one does when the store is away.
 */
import type { Accepted, InboundMessage } from '../../collector/pipeline.ts';

export interface RecordingPipeline {
  accept(messages: readonly InboundMessage[]): Promise<Accepted>;
  /** Messages of the calls that were accepted, in order. */
  readonly accepted: readonly InboundMessage[];
  /** Resolves when so many messages were accepted. */
  until(count: number): Promise<void>;
}

export function createRecordingPipeline(
  outcome: (messages: readonly InboundMessage[]) => Promise<void> | void = () => undefined,
): RecordingPipeline {
  const accepted: InboundMessage[] = [];
  let waiting: { count: number; resolve: () => void }[] = [];
  return {
    accepted,
    async accept(messages) {
      await outcome(messages);
      accepted.push(...messages);
      for (const { resolve } of waiting.filter(({ count }) => accepted.length >= count)) resolve();
      waiting = waiting.filter(({ count }) => accepted.length < count);
      return { spans: 0, ledgers: 0, rejected: [] };
    },
    until: (count) =>
      new Promise((resolve) => {
        if (accepted.length >= count) resolve();
        else waiting.push({ count, resolve });
      }),
  };
}
