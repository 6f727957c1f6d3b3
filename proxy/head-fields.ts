/**
 * Headers and query of the head just parsed, for routes that ask for them. Looks nothing up before it
 * is asked; valid until the next head is parsed.
 */
import { valueOf } from './codec/fields.ts';
import type { RequestFields } from './router.ts';

export class HeadFields implements RequestFields {
  #bytes!: Buffer;
  #startLine = '';

  /** Of the request in `bytes`; `startLine`: method and target. */
  of(bytes: Buffer, startLine: string): this {
    this.#bytes = bytes;
    this.#startLine = startLine;
    return this;
  }

  header(name: string): string | undefined {
    return valueOf(this.#bytes, name);
  }

  query(name: string): string | undefined {
    const at = this.#startLine.indexOf('?');
    if (at < 0) return undefined;
    return new URLSearchParams(this.#startLine.slice(at + 1)).get(name) ?? undefined;
  }
}
