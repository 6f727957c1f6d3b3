/** A message as it came in over OTLP or Kafka, before anybody looked inside. */
import type { Signal } from '../transport/exporter.ts';

/** Where a message came from; stands on every row and dead letter. */
export interface MessageSource {
  /** `otlp_http`, `otlp_grpc`, or the Kafka topic. */
  readonly name: string;
  /** Kafka's partition and offset; 0 and 0 over HTTP and gRPC. */
  readonly partition: number;
  readonly offset: number;
}

export interface InboundMessage {
  readonly signal: Signal;
  readonly encoding: 'protobuf' | 'json';
  /** Must not change until the message was accepted. */
  readonly body: Uint8Array;
  readonly source: MessageSource;
  /**
   * Not a message but a hole in the log: so many from `source.offset` on were deleted by the broker
   * before they were read. The body is empty.
   */
  readonly deleted?: number;
}
