/**
 * Grammar of chunk extensions (RFC 9112 7.1.1), one byte a step: `;name`, `;name=token`,
 * `;name="quoted"`. They mean nothing to the proxy and are not forwarded, but what one reader takes
 * for an extension and another for the end of a line moves the boundary of the chunk, so that only
 * what is written exactly is read. White space around `;` and `=` is refused as llhttp refuses it.
 *
 *   NameFirst ─► Name ─=► ValueFirst ─► Value
 *       ▲          │;         │"          │;
 *       └──────────┴── Quoted ┴─"► After ─┘
 */
import { FIELD_VALUE, TOKEN } from './tables.ts';

const NAME_FIRST = 0;
const NAME = 1;
const VALUE_FIRST = 2;
const VALUE = 3;
const QUOTED = 4;
const ESCAPED = 5;
const AFTER = 6;

const EQUALS = 61;
const QUOTE = 34;
const BACKSLASH = 92;
const SEMICOLON = 59;

/** State behind the first semicolon. */
export const EXTENSION_START = NAME_FIRST;

/** The state after one more byte, or -1 when it may not stand here. */
export function extensionStep(state: number, byte: number): number {
  switch (state) {
    case NAME:
      if (byte === EQUALS) return VALUE_FIRST;
      if (byte === SEMICOLON) return NAME_FIRST;
      return TOKEN[byte] === 0 ? -1 : NAME;
    case VALUE_FIRST:
      if (byte === QUOTE) return QUOTED;
      return TOKEN[byte] === 0 ? -1 : VALUE;
    case VALUE:
      if (byte === SEMICOLON) return NAME_FIRST;
      return TOKEN[byte] === 0 ? -1 : VALUE;
    case QUOTED:
      if (byte === QUOTE) return AFTER;
      if (byte === BACKSLASH) return ESCAPED;
      return FIELD_VALUE[byte] === 0 ? -1 : QUOTED;
    case ESCAPED:
      return FIELD_VALUE[byte] === 0 ? -1 : QUOTED;
    case AFTER:
      return byte === SEMICOLON ? NAME_FIRST : -1;
    default:
      return TOKEN[byte] === 0 ? -1 : NAME;
  }
}

/** True when the line may end in this state. */
export const mayEndExtension = (state: number): boolean =>
  state === NAME || state === VALUE || state === AFTER;
