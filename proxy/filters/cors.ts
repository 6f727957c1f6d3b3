/**
 * Cross-origin resource sharing (Fetch standard): answers preflights, and tells a browser which pages
 * may read an answer. Protects nobody who is no browser. What the application itself says about it is
 * replaced, so that there is one answer.
 */
import type { CorsPart } from '../../mesh/functions.ts';
import {
  phaseOf,
  refusal,
  type Filter,
  type FilteredRequest,
  type Outcome,
  type RequestChanges,
} from './filter.ts';

/** Said by this filter alone; the application's are taken out. */
export const CORS_RESPONSE_HEADERS = [
  'access-control-allow-origin',
  'access-control-allow-credentials',
  'access-control-allow-methods',
  'access-control-allow-headers',
  'access-control-expose-headers',
  'access-control-max-age',
] as const;

/** What a preflight is told where neither function nor route names methods. */
const ANY_METHOD = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE'];
/** A preflight's answer depends on all three, for whoever caches it. */
const VARY_PREFLIGHT =
  'vary: origin, access-control-request-method, access-control-request-headers\r\n';

/** True for a preflight: the browser asks before it sends what its page wants to send. */
export const isPreflight = (request: Pick<FilteredRequest, 'method' | 'header'>): boolean =>
  request.method === 'OPTIONS' &&
  request.header('origin') !== undefined &&
  request.header('access-control-request-method') !== undefined;

export class CorsFilter implements Filter {
  readonly phase = phaseOf('cors');
  readonly #origins: ReadonlySet<string>;
  readonly #anyOrigin: boolean;
  readonly #preflightLines: string;
  readonly #answerLines: string;

  /** `routeMethods`: of the route, empty for any. */
  constructor(cors: CorsPart, routeMethods: readonly string[]) {
    this.#origins = new Set(cors.origins);
    this.#anyOrigin = this.#origins.has('*');
    const methods = [cors.methods, routeMethods, ANY_METHOD].find((list) => list.length > 0)!;
    const credentials = cors.credentials ? 'access-control-allow-credentials: true\r\n' : '';
    this.#preflightLines =
      credentials +
      `access-control-allow-methods: ${methods.join(', ')}\r\n` +
      listLine('access-control-allow-headers', cors.headers) +
      `access-control-max-age: ${cors.max_age_s}\r\n`;
    this.#answerLines = credentials + listLine('access-control-expose-headers', cors.expose);
  }

  look(request: FilteredRequest, changes: RequestChanges): Outcome {
    const origin = request.header('origin');
    const isAllowed = origin !== undefined && (this.#anyOrigin || this.#origins.has(origin));
    if (isPreflight(request)) {
      if (!isAllowed) return refusal('cors_denied', VARY_PREFLIGHT);
      const lines = this.#originLine(origin) + this.#preflightLines + VARY_PREFLIGHT;
      return { kind: 'answer', lines };
    }
    // Also without an Origin: a cache must not give that answer to a page of another site.
    if (!this.#anyOrigin) changes.responseLines += 'vary: origin\r\n';
    if (isAllowed) changes.responseLines += this.#originLine(origin) + this.#answerLines;
    return undefined;
  }

  #originLine(origin: string): string {
    return `access-control-allow-origin: ${this.#anyOrigin ? '*' : origin}\r\n`;
  }
}

const listLine = (name: string, values: readonly string[]): string =>
  values.length === 0 ? '' : `${name}: ${values.join(', ')}\r\n`;
