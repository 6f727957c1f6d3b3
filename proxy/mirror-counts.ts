/**
 * What became of copies of requests to one cluster, since it was made: those that were not sent, by
 * reason, and those that failed, by `error.type`.
 */
export type MirrorSkip =
  /** As many copies were in flight as may (limits.mirrors_per_cluster). */
  | 'in_flight'
  /** The body was longer than body_bytes_max. */
  | 'body_too_large'
  /** The request ended before its body was whole. */
  | 'request_ended'
  /** The request asked for another protocol, which nobody would speak here. */
  | 'upgrade';

/** As it crosses process borders. */
export interface MirrorSnapshot {
  readonly sent: number;
  readonly skipped: Readonly<Record<string, number>>;
  readonly failed: Readonly<Record<string, number>>;
}

export class MirrorCounts {
  sent = 0;
  readonly #skipped = new Map<string, number>();
  readonly #failed = new Map<string, number>();

  /** One was not sent. */
  skip(reason: MirrorSkip): void {
    this.#skipped.set(reason, (this.#skipped.get(reason) ?? 0) + 1);
  }

  /** One that was sent got no whole answer. */
  fail(errorType: string): void {
    this.#failed.set(errorType, (this.#failed.get(errorType) ?? 0) + 1);
  }

  snapshot(): MirrorSnapshot {
    return {
      sent: this.sent,
      skipped: Object.fromEntries(this.#skipped),
      failed: Object.fromEntries(this.#failed),
    };
  }
}
