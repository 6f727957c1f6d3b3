/** Section `store` of a mesh file: how everybody gets into ClickHouse. */
import { z } from 'zod';
import { DEFAULT_PORTS } from '../../runtime/ports.ts';
import {
  bothOrNeither,
  certAndKey,
  file,
  httpUrl,
  LOOPBACK,
  ONE_OF_BOTH,
  secret,
  text,
} from './values.ts';

/** The same for ClickHouse's client, which knows no other name than the host of the url. */
const storeTls = z.strictObject({ ca: file, ...certAndKey }).refine(bothOrNeither, ONE_OF_BOTH);

export const store = z.strictObject({
  url: httpUrl.default(`http://${LOOPBACK}:${DEFAULT_PORTS.store}`),
  database: z
    .string()
    .regex(/^[A-Za-z_][A-Za-z0-9_]*$/, 'is not a database name (letters, digits, "_")')
    .default('azimuth'),
  user: text.default('azimuth'),
  password: secret.describe(
    'As ${env:AZIMUTH_STORE_PASSWORD}, with a .env file beside the mesh file.',
  ),
  tls: storeTls.optional().describe('For an https url that Node would not trust by itself.'),
  // A week: what an incident review needs, on a disk of a laptop.
  retention_days: z
    .int('is not a whole number of days (write one without unit)')
    .min(1, 'is less than 1 day (write 1 or more)')
    .max(3_650, 'is more than 3650 days (write 3650 or less)')
    .default(7),
});
