/**
 * Another path for the upstream than the client's: a prefix replaced, or a template filled in. Parts
 * of the client's path are put in as they came, still percent-encoded. The record keeps the route
 * and path that the client asked for.
 */
import type { RewritePart } from '../../mesh/functions.ts';
import {
  phaseOf,
  type Filter,
  type FilteredRequest,
  type Outcome,
  type RequestChanges,
} from './filter.ts';

const REST = '*';

export class RewriteFilter implements Filter {
  readonly phase = phaseOf('rewrite');
  /** Segments before `/*`. */
  readonly #prefixSegments: number;
  readonly #prefix: string | undefined;
  /** Literals, and numbers of segments of the client's path; the rest of it is -1. */
  readonly #parts: readonly (string | number)[];

  /** `template`: path of the route. */
  constructor({ prefix, path }: RewritePart, template: string) {
    const had = template.split('/').slice(1);
    this.#prefixSegments = had.length - 1;
    this.#prefix = prefix?.replace(/\/+$/, '');
    this.#parts = (path ?? '')
      .split('/')
      .slice(1)
      .map((part) => (part === REST ? -1 : /^\{.*\}$/.test(part) ? had.indexOf(part) : part));
  }

  look({ path }: FilteredRequest, changes: RequestChanges): Outcome {
    const written =
      this.#prefix === undefined
        ? this.#fillIn(path)
        : this.#prefix + restOf(path, this.#prefixSegments);
    // `//host/…` is a path to us, and another host to a server that reads it as a reference.
    changes.path = written.replace(/^\/{2,}/, '/') || '/';
    return undefined;
  }

  #fillIn(path: string): string {
    const segments = path.split('/');
    return this.#parts
      .map((part) => {
        if (typeof part === 'string') return `/${part}`;
        return part < 0 ? restOf(path, this.#prefixSegments) : `/${segments[part + 1] ?? ''}`;
      })
      .join('');
  }
}

/** What stands behind so many segments, with its slash; '' when nothing does. */
function restOf(path: string, segments: number): string {
  let at = 0;
  for (let i = 0; i < segments; i++) {
    at = path.indexOf('/', at + 1);
    if (at < 0) return '';
  }
  return path.slice(at);
}
