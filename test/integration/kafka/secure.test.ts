/** Producer, consumer and commands against a real broker that wants TLS, a certificate and SASL. */
import assert from 'node:assert/strict';
import { createKafkaReceiver } from '../../../collector/kafka-receiver.ts';
import { startKafka, type RunningKafka } from '../../../demo/kafka-broker.ts';
import { silentLog } from '../../../runtime/log.ts';
import { readKafkaAccess, type KafkaAccess } from '../../../transport/kafka/kafka-access.ts';
import { createKafkaClient } from '../../../transport/kafka/kafka-client.ts';
import { createKafkaExporter } from '../../../transport/kafka/kafka-exporter.ts';
import { ensureTopics } from '../../../transport/kafka/kafka-topics.ts';
import { makeCertificates, type Certificates } from '../../helpers/certificates.ts';
import { requireKafka } from '../../helpers/kafka-broker.ts';
import { spansOf, tracesOf } from '../../helpers/otlp-proto.ts';

const USER = { username: 'alice', password: 'a-broker-password' };
const TOPICS = { traces: 'secure_spans', logs: 'secure_logs' };

describe('Kafka over TLS with SASL', function () {
  this.timeout(60_000);
  let certificates: Certificates | undefined;
  let kafka: RunningKafka | undefined;

  before(async function () {
    requireKafka(this);
    certificates = makeCertificates(this);
    kafka = await startKafka({
      secure: {
        keystore: certificates.serverBundle,
        truststore: certificates.ca,
        user: USER.username,
        password: USER.password,
      },
    });
    await ensureTopics({
      ...access({}),
      topics: Object.values(TOPICS),
      partitions: 1,
      replication: 1,
    });
  });
  after(async () => {
    await kafka?.stop();
    certificates?.remove();
  });

  /** How the mesh file would say it, with something changed. */
  const access = ({
    mechanism = 'plain',
    password = USER.password,
    ca = certificates!.ca,
    client = true,
  }: {
    mechanism?: 'plain' | 'scram-sha-256' | 'scram-sha-512';
    password?: string;
    ca?: string;
    client?: boolean;
  }): KafkaAccess =>
    readKafkaAccess({
      brokers: kafka!.secureBrokers,
      tls: { ca, ...(client ? certificates!.client : {}) },
      sasl: { mechanism, username: USER.username, password },
    });

  const send = async (settings: KafkaAccess, name: string): Promise<void> => {
    const client = createKafkaClient({ ...settings, clientId: 'test', log: silentLog });
    const exporter = createKafkaExporter({ client, topics: TOPICS, log: silentLog });
    try {
      const body = tracesOf([{ service: 'edge', name }]);
      await exporter.send({ signal: 'traces', body, items: 1 });
    } finally {
      await exporter.close();
    }
  };

  it('sends and receives with every mechanism', async () => {
    const mechanisms = ['plain', 'scram-sha-256', 'scram-sha-512'] as const;
    for (const mechanism of mechanisms) await send(access({ mechanism }), mechanism);
    const names: string[] = [];
    const receiver = createKafkaReceiver({
      ...access({ mechanism: 'scram-sha-512' }),
      topics: TOPICS,
      groupId: 'secure',
      log: silentLog,
      pipeline: {
        accept: (messages) => {
          names.push(...messages.flatMap(({ body }) => spansOf(body).map((span) => span.name)));
          if (names.length >= mechanisms.length) allReceived();
          return Promise.resolve({ spans: messages.length, ledgers: 0, rejected: [] });
        },
      },
    });
    let allReceived: () => void = () => undefined;
    const received = new Promise<void>((resolve) => (allReceived = resolve));
    await receiver.start();
    await received;
    await receiver.stop();
    assert.deepEqual(names, mechanisms);
  });

  const topics = { topics: ['secure_spans'], partitions: 1, replication: 1 };

  it('is turned away with a wrong password, which stands in no message', async () => {
    await assert.rejects(
      ensureTopics({ ...access({ password: 'a-wrong-one' }), ...topics }),
      (error: Error) => {
        assert.match(error.message, /authentication/i);
        assert.doesNotMatch(error.message, /a-wrong-one/);
        return true;
      },
    );
  });

  it('does not talk to a broker of another authority', () =>
    assert.rejects(
      ensureTopics({ ...access({ ca: certificates!.otherCa }), ...topics }),
      /certificate/,
    ));

  it('is turned away without a certificate of its own', () =>
    assert.rejects(ensureTopics({ ...access({ client: false }), ...topics })));
});
