/**
 * API keys: who has a key that the mesh file knows by its SHA-256 is its consumer; everybody else
 * gets 401. A plain hash is enough because keys are long and random, as docs/GATEWAY-FUNCTIONS.md has
 * them made; it would not be for passwords.
 */
import { hash, timingSafeEqual } from 'node:crypto';
import type { ApiKeysPart } from '../../mesh/functions.ts';
import {
  phaseOf,
  refusal,
  type Filter,
  type FilteredRequest,
  type Outcome,
  type RequestChanges,
} from './filter.ts';

const DEFAULT_HEADER = 'x-api-key';
/** Longer than every key that anybody makes; what is longer is not even hashed. */
const KEY_LENGTH_MAX = 512;

/** Of the key in hand. One for all: a new Buffer for each request would cost more than its hash. */
const digest = Buffer.alloc(32);

interface KnownKey {
  readonly digest: Buffer;
  readonly outcome: Outcome;
}

export class ApiKeyFilter implements Filter {
  readonly phase = phaseOf('authn');
  readonly #header: string;
  readonly #query: string | undefined;
  readonly #forward: boolean;
  /** By the first four bytes of the digest, which say nothing of the key. */
  readonly #known = new Map<number, KnownKey[]>();
  readonly #refused: Outcome;

  constructor({ header, query, keys, forward }: ApiKeysPart) {
    this.#header = header ?? DEFAULT_HEADER;
    this.#query = query;
    this.#forward = forward;
    for (const { consumer, sha256 } of keys) {
      const known = Buffer.from(sha256, 'hex');
      const bucket = known.readUInt32BE(0);
      const entry = { digest: known, outcome: { kind: 'consumer', name: consumer } as const };
      this.#known.set(bucket, [...(this.#known.get(bucket) ?? []), entry]);
    }
    const place = query === undefined ? this.#header : `query parameter ${query}`;
    this.#refused = refusal('unauthenticated', `www-authenticate: ApiKey realm="${place}"\r\n`);
  }

  look(request: FilteredRequest, changes: RequestChanges): Outcome {
    const key =
      this.#query === undefined
        ? request.header(this.#header)
        : this.#fromQuery(this.#query, request.query, changes);
    if (key === undefined || key === '' || key.length > KEY_LENGTH_MAX) return this.#refused;
    digest.write(hash('sha256', key, 'hex'), 'hex');
    const bucket = this.#known.get(digest.readUInt32BE(0));
    if (bucket === undefined) return this.#refused;
    return bucket.find((known) => timingSafeEqual(known.digest, digest))?.outcome ?? this.#refused;
  }

  /** The only value of the parameter; takes it out of what goes upstream. */
  #fromQuery(name: string, query: string, changes: RequestChanges): string | undefined {
    const pairs = query.slice(1).split('&');
    const isKey = (pair: string): boolean => pair === name || pair.startsWith(`${name}=`);
    const found = pairs.filter(isKey);
    // Two of them: servers differ in which one counts.
    if (found.length !== 1) return undefined;
    if (!this.#forward) {
      const rest = pairs.filter((pair) => !isKey(pair)).join('&');
      changes.query = rest === '' ? '' : `?${rest}`;
    }
    try {
      return decodeURIComponent(found[0]!.slice(name.length + 1));
    } catch {
      return undefined;
    }
  }
}

/** The header that is not handed on; undefined where it is, or where the key is no header. */
export const withheldHeader = (part: ApiKeysPart): string | undefined =>
  part.forward || part.query !== undefined ? undefined : (part.header ?? DEFAULT_HEADER);
