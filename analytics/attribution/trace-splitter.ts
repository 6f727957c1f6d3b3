/**
 * Splits one trace into segments that sum to the duration of its root hop, to the nanosecond.
 *
 *     root hop (gateway) ─ own, client wait, back-off
 *       attempt 1 ── wire ── hop (inbound sidecar) ─ own
 *                              attempt 1 = application of the workload, less what its calls cover
 *                                hop (outbound sidecar) ─ own
 *                                  attempt 1 ── wire ── hop (inbound sidecar of the next) …
 *
 * Why it sums: a hop's duration is client wait + attempts + back-off + own. An attempt towards a
 * proxy is wire + that proxy's duration without its client wait; an attempt towards a workload is
 * application + the calls it made, where calls side by side count in full and what they overlap is
 * taken off once (parallel surplus). Each term is replaced by its parts down to the leaves.
 *
 * A trace that lacks something is never guessed at: it gets a reason, and what is missing stays in
 * the residual. One trace at a time; buffers are reused.
 */
import { FUNCTIONS, ATTEMPT_BITS } from '../../telemetry/hop-record.ts';
import { PROXY_ROLES, PROXY_SIDES } from '../../telemetry/edge-class.ts';
import type { NameTable, RowColumns } from './row-columns.ts';
import { INCOMPLETE, KIND, SEGMENT_KINDS } from './segments.ts';

/** Rows of a trace that are looked at: the search for parents is quadratic. */
export const ROWS_MAX = 1000;

const GATEWAY = PROXY_ROLES.indexOf('gateway');
const SIDECAR = PROXY_ROLES.indexOf('sidecar');
const INGRESS = PROXY_SIDES.indexOf('ingress');
const INBOUND = PROXY_SIDES.indexOf('inbound');
const OUTBOUND = PROXY_SIDES.indexOf('outbound');

/**
 * By how much a hop may last longer than the attempt that called it: one part in a thousand of it.
 * Clocks of two hosts differ in rate by up to 500 parts in a million each while they are slewed.
 */
const RATE_TOLERANCE = 0.001;
/**
 * And by how much whatever its length: a process may be put off its core between handing on its last
 * byte and reading the clock. On two cores with a load of 14, 4 % of calls were so, by 26 ms at most.
 */
const STAMP_SLACK_NS = 30e6;

/** Application spans between two hops, at most: a longer chain is a circle. */
const CHAIN_MAX = 64;

/** The segments of the trace split last. Arrays are reused: copy what is kept. */
export class Segments {
  count = 0;
  readonly kinds: number[] = [];
  /** Where: the service of the proxy or workload, as a number of the NameTable. */
  readonly places: number[] = [];
  /** Of wire the service of the next hop, of gateway the function, of mesh the side; '' else. */
  readonly details: number[] = [];
  readonly ns: number[] = [];
  /** Sum by kind. */
  readonly totals = new Float64Array(SEGMENT_KINDS.length);

  clear(): void {
    this.count = 0;
    this.totals.fill(0);
  }

  add(kind: number, place: number, detail: number, ns: number): void {
    this.kinds[this.count] = kind;
    this.places[this.count] = place;
    this.details[this.count] = detail;
    this.ns[this.count] = ns;
    this.count++;
    this.totals[kind] = this.totals[kind]! + ns;
  }
}

/** What was found about the trace split last. */
export interface Split {
  /** Row of the hop at which the request entered; of the first row when there is none. */
  readonly root: number;
  /** INCOMPLETE bits; 0 = complete. */
  readonly incomplete: number;
  /** Distinct hops. */
  readonly hops: number;
  /** Rows that were there twice. */
  readonly duplicates: number;
  /** Hops at which something entered the trace. */
  readonly roots: number;
  /** Of the root; 0 without one. */
  readonly durationNs: number;
  /** Outbound hops whose parent was found by their interval, not by ids. */
  readonly byInterval: number;
}

/** A hop of the trace split last, and who called it. */
export interface PlacedHop {
  /** Row of the columns. */
  readonly row: number;
  /** Position in this list of the hop that called it; -1 for the root and where it is not known. */
  readonly caller: number;
  /** Attempt of the caller, from 1; 0 without one. */
  readonly attempt: number;
}

export class TraceSplitter {
  readonly segments = new Segments();
  readonly #columns: RowColumns;
  readonly #empty: number;
  readonly #functions: readonly number[];
  readonly #sides: readonly number[];
  // Of the trace at hand, by position: its row; position of its parent row or -1; for a hop the
  // position of the hop that called it or -1, and that hop's attempt.
  readonly #rows = new Int32Array(ROWS_MAX);
  readonly #parents = new Int32Array(ROWS_MAX);
  readonly #callers = new Int32Array(ROWS_MAX);
  readonly #attempts = new Uint8Array(ROWS_MAX);
  readonly #calls: number[] = [];
  #count = 0;
  #flags = 0;
  #top = 0;

  constructor(columns: RowColumns, names: NameTable) {
    this.#columns = columns;
    this.#empty = names.numberOf('');
    this.#functions = FUNCTIONS.map((name) => names.numberOf(name));
    this.#sides = PROXY_SIDES.map((name) => names.numberOf(name));
  }

  /** `head` begins the chain of the trace's rows. */
  split(head: number): Split {
    this.#flags = 0;
    this.segments.clear();
    const duplicates = this.#collect(head);
    this.#findParents();
    const { root, roots } = this.#findRoot();
    const byInterval = this.#findCallers(root);
    const { isHop, duration, wait } = this.#columns.data;
    let hops = 0;
    for (let i = 0; i < this.#count; i++) {
      if (isHop[this.#rows[i]!] === 0) continue;
      hops++;
      this.#addHop(i);
    }
    if (root < 0) {
      return {
        root: this.#rows[0]!,
        incomplete: this.#flags,
        hops,
        duplicates,
        roots,
        durationNs: 0,
        byInterval,
      };
    }
    const row = this.#rows[root]!;
    const { segments } = this;
    const { service } = this.#columns.data;
    if (wait[row]! > 0) segments.add(KIND.client_wait, service[row]!, this.#empty, wait[row]!);
    let sum = 0;
    for (let kind = 0; kind < KIND.residual; kind++) sum += segments.totals[kind]!;
    const residual = duration[row]! - sum;
    if (residual !== 0) {
      segments.add(KIND.residual, service[row]!, this.#empty, residual);
      if (this.#flags === 0) this.#flags = INCOMPLETE.does_not_add_up;
    }
    return {
      root: row,
      incomplete: this.#flags,
      hops,
      duplicates,
      roots,
      durationNs: duration[row]!,
      byInterval,
    };
  }

  /** Hops of the trace split last; for display, since the segments say all else. */
  hops(): PlacedHop[] {
    const { isHop } = this.#columns.data;
    const positions = Array.from({ length: this.#count }, (_, i) => i).filter(
      (i) => isHop[this.#rows[i]!] === 1,
    );
    return positions.map((i) => {
      const caller = positions.indexOf(this.#callers[i]!);
      return { row: this.#rows[i]!, caller, attempt: caller < 0 ? 0 : this.#attempts[i]! };
    });
  }

  /** Takes each span once: the identity of a row is its span id within the trace. */
  #collect(head: number): number {
    const { next, spanLow, spanHigh } = this.#columns.data;
    const rows = this.#rows;
    let duplicates = 0;
    this.#count = 0;
    for (let row = head; row >= 0; row = next[row]!) {
      let twice = false;
      for (let i = this.#count - 1; i >= 0 && !twice; i--) {
        twice = spanLow[rows[i]!] === spanLow[row] && spanHigh[rows[i]!] === spanHigh[row];
      }
      if (twice) {
        duplicates++;
      } else if (this.#count === ROWS_MAX) {
        this.#flags |= INCOMPLETE.too_large;
        break;
      } else {
        rows[this.#count++] = row;
      }
    }
    return duplicates;
  }

  /**
   * A parent id names an attempt of a hop (the hop's id with the attempt in its low 4 bits) or an
   * application's span. The hop comes first: the CLIENT span of an attempt may be stored too.
   */
  #findParents(): void {
    const { spanLow, spanHigh, parentLow, parentHigh, isHop } = this.#columns.data;
    const rows = this.#rows;
    for (let i = 0; i < this.#count; i++) {
      const low = parentLow[rows[i]!]!;
      const high = parentHigh[rows[i]!]!;
      let found = -1;
      if (low !== 0 || high !== 0) {
        const hopLow = (low & ~15) >>> 0;
        for (let j = 0; j < this.#count; j++) {
          const row = rows[j]!;
          if (spanHigh[row] !== high || j === i) continue;
          if (isHop[row] === 1 ? spanLow[row] === hopLow : spanLow[row] === low && found < 0) {
            found = j;
            if (isHop[row] === 1) break;
          }
        }
      }
      this.#parents[i] = found;
    }
  }

  /**
   * The earliest hop that nothing in the trace called and that may be an entrance: at the edge, or
   * where a workload began by itself (a job), with or without a span of its own above.
   */
  #findRoot(): { root: number; roots: number } {
    const { parentLow, parentHigh, isHop, side, start } = this.#columns.data;
    let root = -1;
    let roots = 0;
    for (let i = 0; i < this.#count; i++) {
      const row = this.#rows[i]!;
      if (isHop[row] === 0 || this.#callerOf(i) >= 0) continue;
      const top = this.#rows[this.#top]!;
      const named = parentLow[top] !== 0 || parentHigh[top] !== 0;
      // What an outsider names as parent is not ours to find; inside, a parent must be there.
      if (named && side[row] !== INGRESS) continue;
      roots++;
      if (root < 0 || start[row]! < start[this.#rows[root]!]!) root = i;
    }
    if (root < 0) this.#flags |= INCOMPLETE.missing_root;
    if (roots > 1) this.#flags |= INCOMPLETE.several_roots;
    return { root, roots };
  }

  /**
   * Follows application spans up to a hop; its position, or -1. Leaves that hop's attempt in
   * #attempts, and in #top the last position below it.
   */
  #callerOf(i: number): number {
    const { parentLow, isHop } = this.#columns.data;
    let low = parentLow[this.#rows[i]!]!;
    let j = this.#parents[i]!;
    this.#top = i;
    for (let k = 0; k < CHAIN_MAX && j >= 0 && isHop[this.#rows[j]!] === 0; k++) {
      low = parentLow[this.#rows[j]!]!;
      this.#top = j;
      j = this.#parents[j]!;
    }
    this.#attempts[i] = low & 15;
    return j >= 0 && isHop[this.#rows[j]!] === 1 ? j : -1;
  }

  /** True when the attempts of this hop go to a workload, so that what is below them is its calls. */
  #callsWorkload(row: number): boolean {
    const { side, role } = this.#columns.data;
    return side[row] === INBOUND || (side[row] === INGRESS && role[row] === SIDECAR);
  }

  #findCallers(root: number): number {
    const { isHop, side } = this.#columns.data;
    let byInterval = 0;
    for (let i = 0; i < this.#count; i++) {
      const row = this.#rows[i]!;
      this.#callers[i] = -1;
      if (isHop[row] === 0 || i === root) continue;
      let caller = this.#callerOf(i);
      // A workload is called by proxies only, and only its own outbound hops are its calls.
      const fits =
        caller >= 0 &&
        (side[row] === OUTBOUND || !this.#callsWorkload(this.#rows[caller]!)) &&
        this.#attempts[i] !== 0;
      if (!fits) caller = -1;
      if (caller < 0 && side[row] === OUTBOUND) {
        caller = this.#callerByInterval(i);
        if (caller >= 0) byInterval++;
      } else if (caller < 0) {
        this.#flags |= INCOMPLETE.missing_parent;
      }
      this.#callers[i] = caller;
    }
    return byInterval;
  }

  /** The only attempt towards that workload, on the same clock, in whose interval the hop began. */
  #callerByInterval(i: number): number {
    const { isHop, service, clock, start, attempts } = this.#columns.data;
    const row = this.#rows[i]!;
    let found = 0;
    let caller = -1;
    for (let j = 0; j < this.#count; j++) {
      const other = this.#rows[j]!;
      if (isHop[other] === 0 || !this.#callsWorkload(other)) continue;
      if (service[other] !== service[row] || clock[other] !== clock[row]) continue;
      for (let attempt = 1; attempt <= attempts[other]!; attempt++) {
        const from = start[other]! + this.#attemptStart(other, attempt);
        if (start[row]! < from || start[row]! > from + this.#attemptNs(other, attempt)) continue;
        found++;
        caller = j;
        this.#attempts[i] = attempt;
      }
    }
    if (found === 1) return caller;
    this.#flags |= found > 1 ? INCOMPLETE.ambiguous_parent : INCOMPLETE.missing_parent;
    return -1;
  }

  #addHop(i: number): void {
    const { service, side, own, backoff, attempts } = this.#columns.data;
    const row = this.#rows[i]!;
    this.#addOwn(row, own[row]!);
    if (backoff[row]! > 0) {
      this.segments.add(KIND.backoff, service[row]!, this.#sides[side[row]!]!, backoff[row]!);
    }
    const callsWorkload = this.#callsWorkload(row);
    for (let attempt = 1; attempt <= attempts[row]!; attempt++) {
      const effective = this.#attemptNs(row, attempt) - this.#attemptWait(row, attempt);
      if (callsWorkload) this.#addApplication(i, attempt, effective);
      else this.#addWire(i, attempt, effective);
    }
  }

  /** A gateway's own time is the gateway's; at the edge of a sidecar, its functions' phases are. */
  #addOwn(row: number, ownNs: number): void {
    const { role, side, service } = this.#columns.data;
    const { segments } = this;
    const isGateway = role[row] === GATEWAY;
    let rest = ownNs;
    const phases = isGateway || side[row] === INGRESS ? this.#columns.phases.get(row) : undefined;
    if (phases !== undefined) {
      for (let f = 0; f < phases.length; f++) {
        if (phases[f] === 0) continue;
        segments.add(KIND.gateway, service[row]!, this.#functions[f]!, phases[f]!);
        rest -= phases[f]!;
      }
    }
    if (isGateway) segments.add(KIND.gateway, service[row]!, this.#empty, rest);
    else segments.add(KIND.mesh, service[row]!, this.#sides[side[row]!]!, rest);
  }

  #addWire(i: number, attempt: number, effectiveNs: number): void {
    const { isHop, service, duration, wait } = this.#columns.data;
    const place = service[this.#rows[i]!]!;
    for (let k = 0; k < this.#count; k++) {
      const row = this.#rows[k]!;
      if (this.#callers[k] !== i || this.#attempts[k] !== attempt || isHop[row] === 0) continue;
      const hopNs = duration[row]! - wait[row]!;
      const wireNs = effectiveNs - hopNs;
      this.segments.add(KIND.wire, place, service[row]!, wireNs);
      // With client wait the two may differ: buffers between them fill at different instants.
      const waits = wait[row]! > 0 || this.#attemptWait(this.#rows[i]!, attempt) > 0;
      const excessNs = -wireNs - STAMP_SLACK_NS;
      if (excessNs > hopNs * RATE_TOLERANCE && !waits) this.#flags |= INCOMPLETE.outlives_call;
      return;
    }
    const bits = this.#attemptBits(this.#rows[i]!, attempt);
    if ((bits & ATTEMPT_BITS.meshed) !== 0 && (bits & ATTEMPT_BITS.answered) !== 0) {
      this.#flags |= INCOMPLETE.missing_child;
    } else {
      this.segments.add(KIND.upstream, place, this.#empty, effectiveNs);
    }
  }

  /**
   * The workload's time: the attempt less the union of its calls, clipped to the attempt. The
   * calls' own client wait is the workload not taking their bytes, and so is its time.
   */
  #addApplication(i: number, attempt: number, effectiveNs: number): void {
    const { service, side, start, duration, wait, clock } = this.#columns.data;
    const row = this.#rows[i]!;
    const from = start[row]! + this.#attemptStart(row, attempt);
    const to = from + this.#attemptNs(row, attempt);
    const calls = this.#calls;
    calls.length = 0;
    let sum = 0;
    let waits = 0;
    for (let k = 0; k < this.#count; k++) {
      const call = this.#rows[k]!;
      if (this.#callers[k] !== i || this.#attempts[k] !== attempt) continue;
      if (side[call] !== OUTBOUND) continue;
      // A call cannot begin before what caused it, unless the wall clock was set in between.
      if (clock[call] !== clock[row] || start[call]! < from) {
        this.#flags |= INCOMPLETE.clock_domains;
      }
      calls.push(call);
      sum += duration[call]!;
      waits += wait[call]!;
    }
    let union = 0;
    if (calls.length > 1) calls.sort((a, b) => start[a]! - start[b]!);
    let covered = from;
    for (const call of calls) {
      const begin = Math.max(start[call]!, covered);
      const end = Math.min(start[call]! + duration[call]!, to);
      if (end > begin) {
        union += end - begin;
        covered = end;
      }
    }
    const { segments } = this;
    segments.add(KIND.application, service[row]!, this.#empty, effectiveNs - (union - waits));
    if (sum !== union) {
      segments.add(KIND.parallel_surplus, service[row]!, this.#empty, union - sum);
    }
  }

  #attemptStart(row: number, attempt: number): number {
    return attempt === 1
      ? this.#columns.data.attemptStart[row]!
      : this.#columns.moreAttempts.get(row)![attempt - 2]!.startNs;
  }
  #attemptNs(row: number, attempt: number): number {
    return attempt === 1
      ? this.#columns.data.attemptNs[row]!
      : this.#columns.moreAttempts.get(row)![attempt - 2]!.ns;
  }
  #attemptWait(row: number, attempt: number): number {
    return attempt === 1
      ? this.#columns.data.attemptWait[row]!
      : this.#columns.moreAttempts.get(row)![attempt - 2]!.waitNs;
  }
  #attemptBits(row: number, attempt: number): number {
    return attempt === 1
      ? this.#columns.data.attemptBits[row]!
      : this.#columns.moreAttempts.get(row)![attempt - 2]!.bits;
  }
}
