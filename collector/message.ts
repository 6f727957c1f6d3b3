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

/** Messages that a topic had and nobody of this consumer group can have read. */
export interface Hole {
  /**
   * `deleted_by_broker`: those from the source's offset on were deleted before the group, whose
   * position is known, read them. `before_first_read`: reading began at the source's offset without
   * a position of the group; whether those before it were read, or by whom, is unknown.
   */
  readonly reason: 'deleted_by_broker' | 'before_first_read';
  /** How many offsets it is long, at least 1. */
  readonly messages: number;
}

export interface InboundMessage {
  readonly signal: Signal;
  readonly encoding: 'protobuf' | 'json';
  /** Must not change until the message was accepted. */
  readonly body: Uint8Array;
  readonly source: MessageSource;
  /** Not a message but a hole in the log, at `source.offset`. The body is empty. */
  readonly hole?: Hole;
}
