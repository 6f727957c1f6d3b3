/** What to do next about the errors of a store that people meet with every command that reads it. */
import type { AzimuthError } from '../runtime/errors.ts';

/** A line for people; undefined where there is nothing to say. */
export function storeAdvice({ code, message }: AzimuthError): string | undefined {
  if (code !== 'AZ_STORE_UNAVAILABLE' && code !== 'AZ_STORE_REFUSED') return undefined;
  if (/cannot be reached/.test(message)) {
    return 'start the store (npm run demo, or azimuth store), or correct store.url in the mesh file';
  }
  if (/code 516/.test(message)) return 'correct store.user and store.password in the mesh file';
  if (/code 81 /.test(message)) return 'create the database: azimuth store migrate';
  return undefined;
}
