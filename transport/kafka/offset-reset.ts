/**
 * What happens when a consumer asks for an offset that the broker no longer has (deleted after its
 * retention time): it goes on at the oldest one.
 *
 * kafkajs 2.2.4 does that by committing the number -2 for the group, which destroys the only record
 * of where the group was: how much was lost could never be told, least of all after a kill. Here
 * only the next fetch moves; the group's offset stays until the hole is recorded and what follows is
 * stored (collector/kafka-receiver.ts).
 */
import { createRequire } from 'node:module';

/** What of kafkajs's bookkeeping the patch touches. */
interface OffsetManager {
  readonly cluster: {
    fetchTopicsOffset(
      topics: { topic: string; fromBeginning: boolean; partitions: { partition: number }[] }[],
    ): Promise<{ topic: string; partitions: { partition: number; offset: string }[] }[]>;
  };
  /** Next offset to fetch by topic and partition. */
  readonly resolvedOffsets: Record<string, Record<number, string>>;
}

let patched = false;

/** Patches kafkajs for the process. Safe to call twice. */
export function keepCommittedOffsets(): void {
  if (patched) return;
  patched = true;
  const manager = createRequire(import.meta.url)('kafkajs/src/consumer/offsetManager') as {
    prototype: {
      setDefaultOffset(at: { topic: string; partition: number }): Promise<void>;
    };
  };
  manager.prototype.setDefaultOffset = async function (
    this: OffsetManager,
    { topic, partition },
  ): Promise<void> {
    const [found] = await this.cluster.fetchTopicsOffset([
      { topic, fromBeginning: true, partitions: [{ partition }] },
    ]);
    const oldest = found?.partitions.find((one) => one.partition === partition)?.offset;
    // Unknown for now: the next fetch is out of range again, and asks again.
    if (oldest !== undefined) this.resolvedOffsets[topic]![partition] = oldest;
  };
}
