/**
 * Who a certificate says that it is: the SPIFFE id in its one URI name. Pure, and strict where
 * SPIFFE leaves a choice, because what two readers understand differently names two callers.
 */

/** Scheme, trust domain and path (SPIFFE-ID 2); lower case in front, no port, query or fragment. */
const ID = /^spiffe:\/\/([a-z0-9._-]{1,255})((?:\/[A-Za-z0-9._-]+)+)$/;
/** Of the whole id (SPIFFE-ID 2.3). */
const ID_BYTES_MAX = 2_048;

/**
 * The SPIFFE id in a `subjectAltName` as Node writes it, when it is of `trustDomain`; undefined for
 * none, for more than one URI name (X509-SVID 2), and for anything else.
 */
export function spiffeIdIn(
  subjectAltName: string | undefined,
  trustDomain: string,
): string | undefined {
  if (subjectAltName === undefined) return undefined;
  // Node puts a value that holds a comma or quote in quotes, so that none can fake a second name.
  const uris = subjectAltName.match(/(?<=^|, )URI:(?:"(?:[^"\\]|\\.)*"|[^,]*)/g) ?? [];
  const id = uris[0]?.slice('URI:'.length);
  if (uris.length !== 1 || id === undefined || id.length > ID_BYTES_MAX) return undefined;
  const [, domain, path = ''] = ID.exec(id) ?? [];
  if (domain !== trustDomain || /\/\.{1,2}(\/|$)/.test(path)) return undefined;
  return id;
}

/** True when a pattern of an allow-list takes the id: itself, or with `*` at its end any rest. */
export const takesId = (pattern: string, id: string): boolean =>
  pattern.endsWith('*') ? id.startsWith(pattern.slice(0, -1)) : id === pattern;
