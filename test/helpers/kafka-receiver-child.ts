/**
 * A process that receives from Kafka into a file, for tests that kill it. Each span's name is a
 * line of the file ("inserted"); how many were written goes to stdout. In the mode
 * `hang-after-insert` an insert never returns, so that nothing is ever committed.
 */
import { appendFileSync } from 'node:fs';
import { createKafkaReceiver } from '../../collector/kafka-receiver.ts';
import { silentLog } from '../../runtime/log.ts';
import { spansOf } from './otlp-proto.ts';

const { BROKERS, TOPICS, GROUP, SESSION_MS, STORE, MODE } = process.env;
let written = 0;
const receiver = createKafkaReceiver({
  brokers: BROKERS!.split(','),
  topics: JSON.parse(TOPICS!) as { traces: string; logs: string },
  groupId: GROUP!,
  sessionTimeoutMs: Number(SESSION_MS),
  log: silentLog,
  pipeline: {
    accept: async (messages) => {
      const names = messages.flatMap(({ body }) => spansOf(body).map((span) => span.name));
      appendFileSync(STORE!, names.map((name) => name + '\n').join(''));
      written += names.length;
      process.stdout.write(`${written}\n`);
      if (MODE === 'hang-after-insert') await new Promise(() => undefined);
      return { spans: names.length, ledgers: 0, rejected: [] };
    },
  },
});
await receiver.start();
process.once('SIGTERM', () => void receiver.stop());
