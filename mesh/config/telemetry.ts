/** Section `telemetry` of a mesh file: by which way records leave the proxies, and what bounds it. */
import { z } from 'zod';
import { DEFAULT_PORTS } from '../../runtime/ports.ts';
import { TOPIC_LOGS, TOPIC_SPANS } from '../../telemetry/names.ts';
import { milliseconds } from '../resilience.ts';
import { address, clientTls, httpUrl, LOOPBACK, secret, text } from './values.ts';

export const telemetry = z
  .strictObject({
    // Works with nothing installed; Kafka where a stack has it.
    transport: z.enum(['otlp', 'kafka']).default('otlp'),
    otlp: z
      .strictObject({
        endpoint: httpUrl.default(`http://${LOOPBACK}:${DEFAULT_PORTS.otlpHttp}`),
        // Left out: none to this machine, where bytes are free and CPU is not, else zstd
        // (docs/adr/014-transport.md has the figures).
        compression: z
          .enum(['none', 'gzip', 'zstd'])
          .optional()
          .describe('Of the bodies; left out: none to a loopback address, else zstd.'),
        tls: clientTls.optional().describe('For an https endpoint.'),
        token: secret.optional().describe('Bearer token, as ${env:NAME}.'),
      })
      .refine((otlp) => otlp.tls === undefined || otlp.endpoint.startsWith('https:'), {
        message: 'has no TLS (write "https://…", or leave tls out)',
        path: ['endpoint'],
      })
      .prefault({}),
    kafka: z
      .strictObject({
        brokers: z
          .array(address)
          .min(1, 'names no broker (write at least one "host:port")')
          .default([`${LOOPBACK}:${DEFAULT_PORTS.kafka}`]),
        // The stock Collector's topics, so that it can read ours and we its.
        topic_spans: text.default(TOPIC_SPANS),
        topic_logs: text.default(TOPIC_LOGS),
        // Kafka keeps what it gets, on every replica: here bytes are paid for over and over
        // (docs/adr/014-transport.md has the figures).
        compression: z.enum(['none', 'gzip', 'zstd']).default('zstd'),
        tls: clientTls.optional().describe('Present, also as {}: TLS to every broker.'),
        sasl: z
          .strictObject({
            mechanism: z.enum(['plain', 'scram-sha-256', 'scram-sha-512']),
            username: text,
            password: secret,
          })
          .optional(),
      })
      .prefault({}),
    // A third of the bytes of plain attributes; `attributes` is for backends that are not ours.
    hop_format: z.enum(['packed', 'attributes']).default('packed'),
    // Raw paths hold personal data and have no bound; the template has both.
    path: z.enum(['template', 'hash', 'keep']).default('template'),
    // A kill -9 of a proxy costs at most this much telemetry; shorter costs CPU in small batches.
    flush_interval_ms: milliseconds(10, 60_000).default(200),
    // 32 MiB: a quarter of a million packed hops, which bridges a collector's restart under load.
    queue_bytes_max: z
      .int()
      .min(65_536, 'is less than 65536 bytes (write 65536 or more)')
      .default(33_554_432),
    // 100,000 hops: 50 s at 2,000 requests/s; whichever bound is met first holds.
    queue_hops_max: z.int().min(100, 'is less than 100 hops (write 100 or more)').default(100_000),
    // A day: what could not be delivered for longer is no news any more, only late rows that make
    // yesterday's figures change.
    age_max_ms: milliseconds(1_000, 30 * 86_400_000)
      .default(86_400_000)
      .describe('Records that could not be delivered for so long are dropped and counted.'),
    spool: z
      .strictObject({
        // Left out: no spool. A proxy writes to no disk that its operator did not name.
        dir: text
          .optional()
          .describe('Folder for what cannot be sent; relative to the folder of the mesh file.'),
        // 1 GiB: about 1.7 million packed hops of some 610 bytes, half an hour at 1,000 hops/s.
        bytes_max: z
          .int()
          .min(1_048_576, 'is less than 1048576 bytes (write 1048576 or more)')
          .default(1_073_741_824)
          .describe('Most bytes on disk for each proxy.'),
      })
      .prefault({}),
    // Left out: memory of this machine, which survives every process but not the machine.
    state_dir: text
      .optional()
      .describe(
        'Folder of the counter files, by which a successor states what a killed process had ' +
          'finished; relative to the folder of the mesh file. Default: in /dev/shm, else $TMPDIR.',
      ),
  })
  .prefault({});
