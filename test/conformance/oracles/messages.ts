/** What a parser read from bytes, in one form for all parsers. Byte strings are latin1. */

export type Field = readonly [name: string, value: string];

/**
 * How a reading ended: nothing left, the connection ends after the last message, the bytes end
 * within a message, or the bytes are refused.
 */
export type ReadEnd = 'clean' | 'closed' | 'incomplete' | 'refused';

export interface ReadRequest {
  readonly method: string;
  readonly target: string;
  readonly version: string;
  readonly headers: readonly Field[];
  readonly body: string;
  readonly trailers: readonly Field[];
}

export interface ReadRequests {
  readonly messages: readonly ReadRequest[];
  /** A message whose head was read, and not its end. */
  readonly partial: ReadRequest | null;
  readonly end: ReadEnd;
  /** Why it was refused. */
  readonly why: string;
}

export interface ReadResponse {
  readonly status: number;
  readonly version: string;
  readonly reason: string;
  readonly interims: readonly { readonly status: number; readonly headers: readonly Field[] }[];
  readonly headers: readonly Field[];
  readonly body: string;
  readonly trailers: readonly Field[];
}

export interface ReadResponses {
  readonly messages: readonly ReadResponse[];
  readonly partial: Partial<ReadResponse> | null;
  readonly end: ReadEnd;
  readonly why: string;
  /** Bytes behind the last message. */
  readonly left: number;
}

/** Pairs of a flat list of names and values, as node:http gives them. */
export const pairsOf = (raw: readonly string[]): Field[] =>
  Array.from({ length: raw.length / 2 }, (_, i) => [raw[2 * i]!, raw[2 * i + 1]!]);
