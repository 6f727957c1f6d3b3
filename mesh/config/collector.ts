/** Section `collector` of a mesh file: where records are taken, and from whom. */
import { z } from 'zod';
import { DEFAULT_PORTS } from '../../runtime/ports.ts';
import { endpoint, file, hostName, LOOPBACK, port, secret, text } from './values.ts';

/** A port that takes OTLP, with what may protect it. */
const otlpReceiver = (standardPort: number) =>
  z
    .strictObject({
      host: hostName.default(LOOPBACK),
      port: port.default(standardPort),
      tls: z
        .strictObject({
          cert: file,
          key: file,
          // Left out: no client certificate is asked for.
          client_ca: file
            .optional()
            .describe('Only clients with a certificate of this authority are served.'),
        })
        .optional(),
      token: secret.optional().describe('Only requests with this bearer token are served.'),
    })
    .prefault({});

export const collector = z
  .strictObject({
    otlp_http: otlpReceiver(DEFAULT_PORTS.otlpHttp),
    otlp_grpc: otlpReceiver(DEFAULT_PORTS.otlpGrpc),
    admin: endpoint(DEFAULT_PORTS.collectorAdmin),
    kafka: z.strictObject({ group_id: text.default('azimuth-collector') }).prefault({}),
  })
  .prefault({});
