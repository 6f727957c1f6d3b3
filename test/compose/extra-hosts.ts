/**
 * Preloaded into a service that is played: names of `extra_hosts` (`$EXTRA_HOSTS`, as `name:address`)
 * resolve as they do in a container, where they stand in /etc/hosts.
 */
import dns from 'node:dns';
import { syncBuiltinESMExports } from 'node:module';

const addresses = new Map(
  (process.env['EXTRA_HOSTS'] ?? '').split(' ').map((pair) => {
    const colon = pair.indexOf(':');
    return [pair.slice(0, colon), pair.slice(colon + 1)];
  }),
);
const { lookup } = dns;
dns.lookup = ((
  name: string,
  ...rest: Parameters<typeof lookup> extends [unknown, ...infer R] ? R : never
) => lookup(addresses.get(name) ?? name, ...rest)) as typeof lookup;
syncBuiltinESMExports();
