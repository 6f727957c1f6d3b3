/**
 * The one table of error codes. Each has whether a retry can help, the HTTP status that a client
 * sees (none where no request is answered), and the text that says what to do next. docs/ERRORS.md
 * lists the same codes; a test holds both together.
 *
 * Three kinds of trouble, three ways: bad input is rejected and counted and never thrown out of a
 * loop; an operating error is an AzimuthError; a programmer error is an assert.
 */
interface ErrorKind {
  readonly retryable: boolean;
  /** HTTP status for the client whose request it ended. */
  readonly status?: number;
  /** Exit code where it ends a process: 78 = configuration (sysexits EX_CONFIG), 69 = unavailable. */
  readonly exitCode?: number;
  /** What went wrong, in one line, for people. */
  readonly text: string;
}

export const ERRORS = {
  AZ_CONFIG_INVALID: {
    retryable: false,
    exitCode: 78,
    text: 'The mesh file has faults; each is listed with its path and line.',
  },
  AZ_CONFIG_NOT_FOUND: {
    retryable: false,
    exitCode: 78,
    text: 'No mesh file was found; name one with --mesh FILE.',
  },
  AZ_USAGE: { retryable: false, exitCode: 64, text: 'The command line was not understood.' },
  AZ_PORT_IN_USE: {
    retryable: false,
    exitCode: 69,
    text: 'The port is taken by another process; stop it or choose another port.',
  },
  AZ_WORKER_FAILED: {
    retryable: false,
    exitCode: 69,
    text: 'A worker process could not begin; its own last log line says why.',
  },
  AZ_ADMIN_UNAVAILABLE: {
    retryable: true,
    exitCode: 69,
    text: 'No proxy answers at the admin address; start it or name another address.',
  },
  AZ_DISK_FULL: {
    retryable: true,
    status: 503,
    exitCode: 69,
    text: 'No space is left where the file must go; free some or choose another folder.',
  },
  AZ_OTLP_MALFORMED: { retryable: false, status: 400, text: 'The bytes are not valid OTLP.' },
  AZ_OTLP_TOO_LARGE: {
    retryable: false,
    status: 413,
    text: 'The OTLP message is larger than the limit, before or after inflating.',
  },
  AZ_OTLP_UNSUPPORTED_TYPE: {
    retryable: false,
    status: 415,
    text: 'Content type or encoding is not one that the receiver reads.',
  },
  AZ_COLLECTOR_BUSY: {
    retryable: true,
    status: 429,
    text: 'The collector holds as much as it may; send again after Retry-After.',
  },
  AZ_STORE_UNAVAILABLE: {
    retryable: true,
    status: 503,
    exitCode: 69,
    text: 'The store cannot be reached or answered with a passing error.',
  },
  AZ_STORE_REFUSED: {
    retryable: false,
    status: 500,
    text: 'The store refused the statement or the block for good.',
  },
  AZ_EXPORT_FAILED: {
    retryable: true,
    text: 'The next in the pipeline did not accept the message.',
  },
  AZ_EXPORT_REFUSED: {
    retryable: false,
    text: 'The next in the pipeline refused the message for good.',
  },
  AZ_EXPORT_TOO_LARGE: {
    retryable: false,
    text: 'One item is larger than a message of the next in the pipeline may be.',
  },
  AZ_KAFKA_UNAVAILABLE: {
    retryable: true,
    exitCode: 69,
    text: 'No Kafka broker answers; start one or correct telemetry.kafka.brokers.',
  },
  AZ_KAFKA_REFUSED: {
    retryable: false,
    exitCode: 69,
    text: 'Kafka refused the request; its answer says why.',
  },
} as const satisfies Record<string, ErrorKind>;

export type ErrorCode = keyof typeof ERRORS;

/** An operating error: something outside went wrong in a way that the table foresees. */
export class AzimuthError extends Error {
  readonly code: ErrorCode;
  readonly retryable: boolean;
  /** Seconds after which the other side asked to be tried again, when it said so. */
  readonly retryAfterS: number | undefined;
  /** Items of a message that were refused, when the others of it were accepted. */
  readonly refusedItems: number | undefined;

  constructor(
    code: ErrorCode,
    detail?: string,
    options?: {
      cause?: unknown;
      retryAfterS?: number | undefined;
      refusedItems?: number | undefined;
    },
  ) {
    super(
      detail === undefined ? ERRORS[code].text : detail,
      options?.cause === undefined ? undefined : { cause: options.cause },
    );
    this.name = code;
    this.code = code;
    this.retryable = ERRORS[code].retryable;
    this.retryAfterS = options?.retryAfterS;
    this.refusedItems = options?.refusedItems;
  }

  get kind(): ErrorKind {
    return ERRORS[this.code];
  }
}

/** The message of whatever was thrown, for a log line or a dead letter. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
