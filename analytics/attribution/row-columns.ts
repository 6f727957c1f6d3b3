/**
 * The rows of all open traces, in growing columns: no object a row, since a busy mesh has hundreds
 * of thousands of them open. The rows of one trace are a chain through `next`; a freed row goes to
 * the head of the free list.
 *
 * Times are nanoseconds in doubles, exact below 2^53; `start` counts from the base instant of the
 * reader. Texts are numbers of a NameTable. A row that is no hop (an application's span) has its
 * ids, `start` and `next` only: it serves to find parents.
 */

const make = (capacity: number) => ({
  next: new Int32Array(capacity),
  spanLow: new Uint32Array(capacity),
  spanHigh: new Uint32Array(capacity),
  parentLow: new Uint32Array(capacity),
  parentHigh: new Uint32Array(capacity),
  start: new Float64Array(capacity),
  /** 1 for a hop. */
  isHop: new Uint8Array(capacity),
  /** Positions in PROXY_ROLES, PROXY_SIDES, EDGE_CLASSES, STREAM_CLASSES. */
  role: new Uint8Array(capacity),
  side: new Uint8Array(capacity),
  edgeClass: new Uint8Array(capacity),
  streamClass: new Uint8Array(capacity),
  status: new Uint16Array(capacity),
  generation: new Uint32Array(capacity),
  service: new Uint32Array(capacity),
  clock: new Uint32Array(capacity),
  mesh: new Uint32Array(capacity),
  topology: new Uint32Array(capacity),
  route: new Uint32Array(capacity),
  method: new Uint32Array(capacity),
  duration: new Float64Array(capacity),
  own: new Float64Array(capacity),
  wait: new Float64Array(capacity),
  backoff: new Float64Array(capacity),
  attempts: new Uint8Array(capacity),
  // The first attempt; further ones, which few hops have, stand in `moreAttempts`.
  attemptStart: new Float64Array(capacity),
  attemptNs: new Float64Array(capacity),
  attemptWait: new Float64Array(capacity),
  attemptBits: new Uint8Array(capacity),
});
export type RowData = ReturnType<typeof make>;

/** One attempt of a hop. `startNs` counts from the hop's start. */
export interface AttemptTimes {
  readonly startNs: number;
  readonly ns: number;
  readonly waitNs: number;
  /** ATTEMPT_BITS. */
  readonly bits: number;
}

export class RowColumns {
  /** Replaced when it grows: take it anew after `allocate`. */
  data: RowData;
  /** Attempts from the second on, by row. */
  readonly moreAttempts = new Map<number, readonly AttemptTimes[]>();
  /** Nanoseconds by function (position in FUNCTIONS) of hops at the edge, by row. */
  readonly phases = new Map<number, Float64Array>();
  #capacity: number;
  #used = 0;
  #free = -1;

  constructor(capacity = 4096) {
    this.#capacity = capacity;
    this.data = make(capacity);
  }

  /** A row with stale values, end of its chain. */
  allocate(): number {
    let row = this.#free;
    if (row >= 0) {
      this.#free = this.data.next[row]!;
    } else {
      if (this.#used === this.#capacity) this.#grow();
      row = this.#used++;
    }
    this.data.next[row] = -1;
    return row;
  }

  /** Frees a chain. */
  release(head: number): void {
    const { next, attempts } = this.data;
    for (let row = head; row >= 0;) {
      const after = next[row]!;
      if (attempts[row]! > 1) this.moreAttempts.delete(row);
      this.phases.delete(row);
      next[row] = this.#free;
      this.#free = row;
      row = after;
    }
  }

  #grow(): void {
    this.#capacity *= 2;
    const larger = make(this.#capacity);
    for (const name of Object.keys(larger) as (keyof RowData)[]) larger[name].set(this.data[name]);
    this.data = larger;
  }
}

/** Texts as small numbers. Grows with the distinct texts: its owner starts anew past a bound. */
export class NameTable {
  readonly texts: string[] = [];
  readonly #numbers = new Map<string, number>();

  numberOf(text: string): number {
    let number = this.#numbers.get(text);
    if (number === undefined) {
      number = this.texts.push(text) - 1;
      this.#numbers.set(text, number);
    }
    return number;
  }
}
