/**
 * Tokens (RFC 7519, as bearer tokens of RFC 6750): signature, algorithm, issuer, audience and times are
 * checked by jose, with the keys of key-set.ts; whoever has none that holds gets 401 and is told why.
 *
 * The signature of a token is checked once and remembered, times are looked at with each request: a
 * check runs outside this thread and makes its request wait, a remembered one costs a look-up.
 */
import { errors, jwtVerify, type JWTPayload } from 'jose';
import type { JwtPart } from '../../mesh/functions.ts';
import { KeysUnavailable, type KeySet } from './key-set.ts';
import { phaseOf, refusal, type Filter, type FilteredRequest, type Outcome } from './filter.ts';

/** Tokens remembered of one route: some 1 kB each. Past them the oldest is checked again. */
const REMEMBERED_MAX = 1_000;
/** Bearer, then a token of three parts in base64url (RFC 7515 7.1). */
const BEARER = /^bearer +([A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*)$/i;
/** Longer than a UUID, a URL of a client, or an address. */
const CONSUMER_LENGTH_MAX = 128;

const REALM = 'Bearer realm="azimuth"';
const challenge = (why: string): Outcome => {
  const error = why === '' ? '' : `, error="invalid_token", error_description="${why}"`;
  return refusal('unauthenticated', `www-authenticate: ${REALM}${error}\r\n`);
};
/** Without a token RFC 6750 3.1 wants no error code: nothing is wrong with what was not sent. */
const NO_TOKEN = challenge('');
const NOT_A_TOKEN = challenge('this is not a signed JWT');
const UNAVAILABLE = refusal('authn_unavailable');

interface Remembered {
  readonly outcome: Outcome;
  readonly generation: number;
  /** Unix seconds; 0 without one. */
  readonly notBefore: number;
  readonly expires: number;
}

export class JwtFilter implements Filter {
  readonly phase = phaseOf('authn');
  readonly #part: JwtPart;
  readonly #keys: KeySet;
  readonly #now: () => number;
  /** By the whole header, so that a look-up is all that a known token costs. */
  readonly #remembered = new Map<string, Remembered>();

  /** `now`: wall clock, Unix milliseconds. */
  constructor(part: JwtPart, keys: KeySet, now: () => number = Date.now) {
    this.#part = part;
    this.#keys = keys;
    this.#now = now;
  }

  look(request: FilteredRequest): Outcome | Promise<Outcome> {
    const header = request.header('authorization');
    if (header === undefined) return NO_TOKEN;
    const kept = this.#remembered.get(header);
    if (kept?.generation === this.#keys.generation) {
      const nowS = this.#now() / 1000;
      const { leeway_s: leewayS } = this.#part;
      if (kept.notBefore <= nowS + leewayS && nowS - leewayS < kept.expires) return kept.outcome;
    }
    const token = BEARER.exec(header)?.[1];
    if (token === undefined) return /^bearer\b/i.test(header) ? NOT_A_TOKEN : NO_TOKEN;
    return this.#check(header, token);
  }

  async #check(header: string, token: string): Promise<Outcome> {
    const { issuer, audiences, algorithms, leeway_s: leewayS } = this.#part;
    try {
      const { payload } = await jwtVerify(token, (named) => this.#keys.key(named), {
        algorithms,
        issuer,
        audience: audiences,
        clockTolerance: leewayS,
        currentDate: new Date(this.#now()),
        // A token that never ends cannot be taken back.
        requiredClaims: ['exp'],
      });
      return this.#remember(header, payload);
    } catch (error) {
      if (error instanceof KeysUnavailable) return UNAVAILABLE;
      return challenge(reasonOf(error));
    }
  }

  #remember(header: string, payload: JWTPayload): Outcome {
    const { consumer_claim: claim } = this.#part;
    let outcome: Outcome;
    if (claim !== undefined) {
      const value = payload[claim];
      const name = typeof value === 'string' ? consumerName(value) : '';
      if (name === '') return challenge('the claim that names the consumer is missing or too long');
      outcome = { kind: 'consumer', name };
    }
    if (this.#remembered.size >= REMEMBERED_MAX) {
      const [oldest] = this.#remembered.keys();
      this.#remembered.delete(oldest!);
    }
    this.#remembered.set(header, {
      outcome,
      generation: this.#keys.generation,
      notBefore: payload.nbf ?? 0,
      expires: payload.exp!,
    });
    return outcome;
  }
}

/**
 * A claim as a name that may stand in a header: whatever is not visible ASCII is percent-encoded, so
 * that two claims never become one name. '' when it is too long.
 */
function consumerName(claim: string): string {
  if (claim.length > CONSUMER_LENGTH_MAX) return '';
  return claim.toWellFormed().replace(/[^\x21-\x24\x26-\x7e]/gu, encodeURIComponent);
}

/** For the client: which rule was broken, nothing of the token and nothing of the keys. */
function reasonOf(error: unknown): string {
  if (error instanceof errors.JWTExpired) return 'the token has expired';
  if (error instanceof errors.JWTClaimValidationFailed) {
    const known = ['iss', 'aud', 'nbf', 'exp', 'iat'].includes(error.claim);
    return known ? `the claim ${error.claim} is not as it must be` : 'a claim is not as it must be';
  }
  if (error instanceof errors.JOSEAlgNotAllowed) return 'the algorithm is not allowed';
  if (error instanceof errors.JWKSNoMatchingKey) return 'the key is not known';
  if (error instanceof errors.JWKSMultipleMatchingKeys) return 'the token does not name its key';
  if (error instanceof errors.JWSSignatureVerificationFailed) return 'the signature does not hold';
  return 'the token is not valid';
}
