/** Section `analytics` of a mesh file: where the API listens, and as whom it reads. */
import { z } from 'zod';
import { DEFAULT_PORTS } from '../../runtime/ports.ts';
import { hostName, LOOPBACK, port, secret, text } from './values.ts';

export const analytics = z
  .strictObject({
    host: hostName.default(LOOPBACK),
    port: port.default(DEFAULT_PORTS.analytics),
    // Left out: the store's user. The embedded store has only one.
    reader: z
      .strictObject({ user: text, password: secret })
      .optional()
      .describe('User of the store for the API and its reports; the jobs keep the one of `store`.'),
  })
  .prefault({});
