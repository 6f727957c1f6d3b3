/**
 * Longest body of a request: 413 by its Content-Length before anything is sent, and by the bytes
 * counted (request-body.ts) where only they tell.
 */
import {
  phaseOf,
  refusal,
  type Filter,
  type FilteredRequest,
  type Outcome,
  type RequestChanges,
} from './filter.ts';

export class RequestSizeFilter implements Filter {
  readonly phase = phaseOf('request_size');
  readonly #bytesMax: number;

  constructor({ bytes_max: bytesMax }: { readonly bytes_max: number }) {
    this.#bytesMax = bytesMax;
  }

  look(request: FilteredRequest, changes: RequestChanges): Outcome {
    if (request.contentBytes > this.#bytesMax) return refusal('request_body_too_large');
    changes.bodyBytesMax = Math.min(changes.bodyBytesMax, this.#bytesMax);
    return undefined;
  }
}
