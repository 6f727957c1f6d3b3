/**
 * The port through which a proxy's telemetry leaves. An exporter knows one protocol and sends one
 * message; it keeps no queue and never tries again by itself: the export queue in front of it does
 * both, so that loss is counted in one place for every transport.
 */
export type Signal = 'traces' | 'logs';

/** One OTLP protobuf message (`TracesData` or `LogsData`), ready to be sent. */
export interface OutboundMessage {
  readonly signal: Signal;
  /** Owned by the message: nobody writes into it after it was offered. */
  readonly body: Uint8Array;
  /** Spans or log records in it, 1 or more. */
  readonly items: number;
}

/** Sends one message at a time per call; up to `concurrency` calls may be open. */
export interface Exporter {
  readonly name: string;
  /** Most sends in flight at once, 1 or more. */
  readonly concurrency: number;
  /** Opens what must be open before the first send; a failure here must not end the proxy. */
  start?(): Promise<void>;
  /**
   * Resolves when the next ACKNOWLEDGED the message. Rejects with an AzimuthError whose
   * `retryable` tells whether the same message may be accepted later; `retryAfterS` is the other
   * side's wish. After a retryable failure the message may have arrived all the same.
   */
  send(message: OutboundMessage): Promise<void>;
  /** Ends connections; sends still open reject. Safe to call twice. */
  close(): Promise<void>;
}
