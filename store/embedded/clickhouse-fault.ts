/**
 * Errors in ClickHouse's own words: a code, its name, and the HTTP status that a ClickHouse server
 * gives with it, so that every client's error handling works against the embedded store too.
 */

/** Names of the codes that the front itself raises; the engine's own carry theirs in the text. */
const NAMES: Readonly<Record<number, string>> = {
  33: 'CANNOT_READ_ALL_DATA',
  36: 'BAD_ARGUMENTS',
  40: 'CHECKSUM_DOESNT_MATCH',
  48: 'NOT_IMPLEMENTED',
  62: 'SYNTAX_ERROR',
  108: 'NO_DATA_TO_INSERT',
  115: 'UNKNOWN_SETTING',
  164: 'READONLY',
  202: 'TOO_MANY_SIMULTANEOUS_QUERIES',
  210: 'NETWORK_ERROR',
  243: 'NOT_ENOUGH_SPACE',
  271: 'CANNOT_DECOMPRESS',
  307: 'TOO_MANY_BYTES',
  354: 'ZLIB_INFLATE_FAILED',
  432: 'UNKNOWN_CODEC',
  452: 'SETTING_CONSTRAINT_VIOLATION',
  497: 'ACCESS_DENIED',
  516: 'AUTHENTICATION_FAILED',
  1002: 'UNKNOWN_EXCEPTION',
};

/** What ClickHouse's HTTP handler answers with these codes; every other one is 500. */
const STATUS: Readonly<Record<number, number>> = {
  6: 400,
  7: 400,
  10: 400,
  16: 404,
  26: 400,
  27: 400,
  33: 400,
  36: 400,
  38: 400,
  40: 400,
  41: 400,
  42: 400,
  43: 400,
  44: 400,
  46: 404,
  47: 404,
  48: 501,
  53: 400,
  57: 400,
  60: 404,
  62: 400,
  69: 400,
  70: 400,
  72: 400,
  73: 400,
  81: 404,
  82: 400,
  108: 400,
  115: 404,
  117: 400,
  130: 400,
  131: 400,
  158: 400,
  159: 408,
  164: 403,
  202: 503,
  209: 408,
  210: 503,
  243: 507,
  271: 400,
  307: 413,
  354: 400,
  394: 499,
  396: 400,
  432: 400,
  452: 400,
  456: 400,
  457: 400,
  497: 403,
  516: 403,
};

/** A request that ends with an error in ClickHouse's form. */
export class ClickHouseFault extends Error {
  readonly code: number;
  readonly status: number;
  /** Seconds for Retry-After; undefined sends none. */
  readonly retryAfterS: number | undefined;

  /** `status` where HTTP has a better one than the code's own, as 415 for an encoding. */
  constructor(code: number, text: string, options: { status?: number; retryAfterS?: number } = {}) {
    super(`Code: ${code}. DB::Exception: ${text}. (${NAMES[code] ?? 'UNKNOWN_EXCEPTION'})`);
    this.name = 'ClickHouseFault';
    this.code = code;
    this.status = options.status ?? STATUS[code] ?? 500;
    this.retryAfterS = options.retryAfterS;
  }
}

/** The fault in whatever the engine threw: its text begins with `Code: N.`, perhaps nested. */
export function faultOf(error: unknown): { code: number; status: number; text: string } {
  const text = (error instanceof Error ? error.message : String(error)).trimEnd();
  if (error instanceof ClickHouseFault) return { code: error.code, status: error.status, text };
  const code = Number(/Code: (\d+)/.exec(text)?.[1] ?? 1002);
  const full = text.startsWith('Code: ')
    ? text
    : `Code: ${code}. DB::Exception: ${text} (UNKNOWN_EXCEPTION)`;
  return { code, status: STATUS[code] ?? 500, text: full };
}
