/** Requests and answers in parts, which mutations take one by one. All texts are latin1. */
import type { Choice } from './random.ts';

/** A request inside a body: where framings disagree it comes out. */
export const SMUGGLED = 'GET /smuggled HTTP/1.1\r\nHost: evil.example\r\n\r\n';

export interface Draft {
  method: string;
  target: string;
  version: string;
  /** Header lines without their ends. */
  lines: string[];
  /** Line end of the start line and of the header lines. */
  eol: string;
  /** What ends the head, normally an empty line. */
  headEnd: string;
  /** Body as it is framed on the wire. */
  body: string;
  /** Written in front of the start line. */
  before: string;
}

/** An answer in parts. */
export interface ResponseDraft {
  version: string;
  status: string;
  reason: string;
  lines: string[];
  eol: string;
  headEnd: string;
  body: string;
  /** Interim answers, or anything else, in front. */
  before: string;
  /** Bytes behind the answer. */
  behind: string;
}

export interface Mutation {
  readonly name: string;
  apply(draft: Draft, choice: Choice): void;
}

/** A body as chunks, with what is optional in them. */
export function chunked(body: string, choice: Choice, trailers: readonly string[] = []): string {
  let out = '';
  let p = 0;
  while (p < body.length) {
    const end = p + choice.between(1, body.length - p);
    const zeros = choice.chance(0.1) ? '0'.repeat(choice.between(1, 3)) : '';
    const hex = (end - p).toString(16);
    const extension = choice.chance(0.15) ? choice.of([';a', ';a=b', ';a="b"', ';a=b;c=d']) : '';
    out += zeros + (choice.chance(0.3) ? hex.toUpperCase() : hex) + extension + '\r\n';
    out += body.slice(p, end) + '\r\n';
    p = end;
  }
  return `${out}0\r\n${trailers.map((line) => line + '\r\n').join('')}\r\n`;
}
