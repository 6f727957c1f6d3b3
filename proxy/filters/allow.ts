/**
 * Who may call a route, by the identity that a certificate proved or the listener vouches for:
 * everybody else gets 403. A header is nobody's identity.
 */
import { takesId } from '../identity/spiffe.ts';
import { phaseOf, refusal, type Filter, type FilteredRequest, type Outcome } from './filter.ts';

const DENIED = refusal('identity_denied');

export class AllowFilter implements Filter {
  readonly phase = phaseOf('authz');
  readonly #patterns: readonly string[];

  /** `patterns`: SPIFFE ids, `*` at the end for any rest. */
  constructor(patterns: readonly string[]) {
    this.#patterns = patterns;
  }

  look({ peerId }: FilteredRequest): Outcome {
    const isAllowed = peerId !== '' && this.#patterns.some((pattern) => takesId(pattern, peerId));
    return isAllowed ? undefined : DENIED;
  }
}
