/**
 * The store's one user. Basic auth, ClickHouse's own headers, or parameters of the URL, as a
 * ClickHouse server takes them. Compares hashes in constant time; never logs a password.
 */
import { createHash, timingSafeEqual } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import { ClickHouseFault } from './clickhouse-fault.ts';

/** Throws 516 unless the request names the one user and its password; in constant time. */
export function credentialCheck(
  user: string,
  password: string,
): (req: IncomingMessage, url: URL) => void {
  const hash = (text: string): Buffer => createHash('sha256').update(text).digest();
  const wanted = [hash(user), hash(password)] as const;
  return (req, url) => {
    const given = credentials(req, url);
    if (given === undefined) {
      throw new ClickHouseFault(516, 'Authentication failed: no user and password were given', {
        status: 401,
      });
    }
    const sameUser = timingSafeEqual(hash(given.user), wanted[0]);
    const samePassword = timingSafeEqual(hash(given.password), wanted[1]);
    if (sameUser && samePassword) return;
    throw new ClickHouseFault(
      516,
      `${given.user.slice(0, 64)}: Authentication failed: password is incorrect, or there is no user with such name`,
    );
  };
}

function credentials(
  req: IncomingMessage,
  url: URL,
): { readonly user: string; readonly password: string } | undefined {
  const basic = /^Basic\s+(.+)$/i.exec(req.headers.authorization ?? '')?.[1];
  if (basic !== undefined) {
    const [, user, password] =
      /^([^:]*):(.*)$/s.exec(Buffer.from(basic, 'base64').toString('utf8')) ?? [];
    return { user: user ?? '', password: password ?? '' };
  }
  const user = req.headers['x-clickhouse-user'] ?? url.searchParams.get('user') ?? undefined;
  const password = req.headers['x-clickhouse-key'] ?? url.searchParams.get('password') ?? undefined;
  if (user === undefined && password === undefined) return undefined;
  return { user: String(user ?? 'default'), password: String(password ?? '') };
}
