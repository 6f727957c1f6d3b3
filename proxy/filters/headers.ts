/**
 * Headers set, added and removed, of requests and of answers. What is taken out is the same for all
 * requests of a route, so only the lines that are put in are work per request. Which headers cannot be
 * changed is settled when the mesh file is read.
 */
import type { HeaderChangesPart } from '../../mesh/functions.ts';
import {
  phaseOf,
  type Filter,
  type FilteredRequest,
  type Outcome,
  type RequestChanges,
} from './filter.ts';

export class HeadersFilter implements Filter {
  readonly phase = phaseOf('headers');
  readonly #requestLines: string;

  constructor(request: HeaderChangesPart) {
    this.#requestLines = linesOf(request);
  }

  look(_request: FilteredRequest, changes: RequestChanges): Outcome {
    changes.requestLines += this.#requestLines;
    return undefined;
  }
}

/** Lines that are put in. */
export const linesOf = ({ set, add }: HeaderChangesPart): string =>
  [...Object.entries(set), ...Object.entries(add)]
    .map(([name, value]) => `${name}: ${value}\r\n`)
    .join('');

/** Names of lines that are taken out first. */
export const namesTakenOut = ({ set, remove }: HeaderChangesPart): readonly string[] => [
  ...Object.keys(set),
  ...remove,
];
