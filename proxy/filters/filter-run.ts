/**
 * Runs the filters of a route over one request, one after the other, and books the time of each under
 * its function. One per exchange, made at its first request that has filters, used again for others.
 *
 *   begin ──► filter ──► filter ──► … ──► passed: the exchange carries the request
 *               │ ├──► refuses or answers: the exchange does that
 *               └─(a promise)──► waits ──(settled)──► the head is read again ──► the next filter
 *
 * While it waits, other connections parse their heads into the same module state of the codec: so the
 * head is kept and parsed once more. What the client sends meanwhile is not read. Decides nothing.
 */
import { monotonicMs } from '../../runtime/clock.ts';
import type { PeerRole } from '../../telemetry/edge-class.ts';
import type { HopRecord } from '../../telemetry/hop-record.ts';
import { CONSUMER_HEADER } from '../../telemetry/names.ts';
import type { ProcessLoad } from '../admission.ts';
import { BODY_CHUNKED, parsed, valueOf } from '../codec/fields.ts';
import type { Downstream } from '../downstream-port.ts';
import { FAILURES, type Failure } from '../rescue.ts';
import { asked, type HeadChanges } from '../upstream-request.ts';
import type { CompiledFilters } from './compile.ts';
import type { FilteredRequest, Outcome, RequestChanges } from './filter.ts';

/** A head that was parsed, with what came behind it. */
export interface HeldHead {
  readonly b: Buffer;
  /** b[s, e) is the head, whose latin1 text is `text`; b[e, n) came behind it. */
  readonly s: number;
  readonly e: number;
  readonly n: number;
  readonly text: string;
  /** When its last byte came, monotonic milliseconds. */
  readonly atMs: number;
  /** The trace is a new one. */
  readonly restarted: boolean;
  /** Bytes of a body are still to be read. */
  readonly hasBody: boolean;
}

/** The exchange. Numbers are the position of the first byte that is not of the request. */
export interface FilterOwner {
  /** Address of the client as text. */
  readonly clientAddress: string;
  /** SPIFFE id of the caller, where it is beyond doubt; else ''. */
  readonly peerId: string;
  /** Other heads were parsed meanwhile: makes the module state of the codec that of this one again. */
  readAgain(head: HeldHead): void;
  filtersPassed(head: HeldHead): number;
  filtersRefused(head: HeldHead, failure: Failure): number;
  /** With 204 and `ownLines`. */
  filtersAnswered(head: HeldHead): number;
  /** A filter broke: a fault of ours, which ends this request alone. */
  filterBroke(error: unknown): void;
}

/**
 * Belt to the braces of filters that bound their own waiting: longer than any of them may wait
 * (timeout_ms of keys, at most 60 s).
 */
const WAIT_MAX_MS = 65_000;

export class FilterRun implements FilteredRequest {
  readonly #owner: FilterOwner;
  readonly #down: Downstream;
  readonly #load: ProcessLoad;
  readonly #record: HopRecord;
  #head!: HeldHead;
  #next = 0;
  /** Counts waits: tells a promise of an ended request apart. */
  #turn = 0;
  #waiting = false;
  #phase = 0;
  #sinceMs = 0;
  #compiled!: CompiledFilters;
  /** Bits of FUNCTIONS of the filters that looked at the request. */
  performed = 0;
  method = '';
  path = '';
  consumer = '';
  #answerLines = '';
  readonly changes: RequestChanges = {
    path: '',
    query: undefined,
    requestLines: '',
    responseLines: '',
    bodyBytesMax: Infinity,
    flagBits: 0,
  };

  constructor(owner: FilterOwner, down: Downstream, load: ProcessLoad, record: HopRecord) {
    this.#owner = owner;
    this.#down = down;
    this.#load = load;
    this.#record = record;
  }

  get address(): string {
    return this.#owner.clientAddress;
  }

  get peerId(): string {
    return this.#owner.peerId;
  }

  get query(): string {
    const at = asked.startLine.indexOf('?');
    return at < 0 ? '' : asked.startLine.slice(at);
  }

  get contentBytes(): number {
    return parsed.bodyKind === BODY_CHUNKED ? -1 : parsed.bodyBytes;
  }

  header(name: string): string | undefined {
    return valueOf(this.#head.b, name);
  }

  /** Lines of an answer of the upstream, and names that are taken out of it. */
  get responseLines(): string {
    return this.changes.responseLines;
  }

  get responseTakenOut(): ReadonlySet<string> | undefined {
    return this.#compiled.responseTakenOut;
  }

  /** Lines of an answer of our own. */
  get ownLines(): string {
    return this.changes.responseLines + this.#answerLines;
  }

  /** What becomes of the head on its way to a target of this role. */
  headChanges(target: PeerRole): HeadChanges {
    const { path, query, requestLines } = this.changes;
    // An external is told nothing of who called us.
    const isNamed = this.consumer !== '' && target !== 'external';
    return {
      path,
      query,
      takenOut: this.#compiled.requestTakenOut,
      lines: requestLines + (isNamed ? `${CONSUMER_HEADER}: ${this.consumer}\r\n` : ''),
    };
  }

  /**
   * Runs them over the request just parsed. Returns as the owner does; what is kept while it waits
   * counts as read.
   */
  begin(compiled: CompiledFilters, head: HeldHead): number {
    const { changes } = this;
    this.#compiled = compiled;
    this.#head = head;
    this.#next = 0;
    this.performed = 0;
    this.method = asked.method;
    this.path = asked.path;
    this.consumer = '';
    this.#answerLines = '';
    changes.path = '';
    changes.query = undefined;
    changes.requestLines = '';
    changes.responseLines = compiled.responseLines;
    changes.bodyBytesMax = Infinity;
    changes.flagBits = 0;
    return this.#goOn();
  }

  /** The request ended: whatever is waited for is of no use any more. Safe to call twice. */
  end(nowMs: number): void {
    if (this.#waiting) this.#waitEnds(nowMs);
  }

  #goOn(): number {
    const { filters } = this.#compiled;
    const { phaseNs } = this.#record;
    let beforeMs = monotonicMs();
    while (this.#next < filters.length) {
      const filter = filters[this.#next++]!;
      const { phase } = filter;
      this.performed |= 1 << phase;
      const outcome = filter.look(this, this.changes);
      this.#record.flags |= this.changes.flagBits;
      if (outcome instanceof Promise) return this.#wait(outcome, phase, beforeMs);
      const nowMs = monotonicMs();
      phaseNs[phase]! += (nowMs - beforeMs) * 1e6;
      beforeMs = nowMs;
      const at = this.#act(outcome);
      if (at !== undefined) return at;
    }
    return this.#owner.filtersPassed(this.#head);
  }

  /** Undefined when the next filter has its turn. */
  #act(outcome: Outcome): number | undefined {
    switch (outcome?.kind) {
      case 'consumer':
        this.consumer = outcome.name;
        return undefined;
      case 'refuse':
        this.#answerLines = outcome.lines;
        return this.#owner.filtersRefused(this.#head, outcome.as ?? FAILURES[outcome.failure]);
      case 'answer':
        this.#answerLines = outcome.lines;
        return this.#owner.filtersAnswered(this.#head);
      case undefined:
        return undefined;
    }
  }

  #wait(promise: Promise<Outcome>, phase: number, sinceMs: number): number {
    if (this.#load.isFull) {
      promise.catch(() => undefined);
      return this.#owner.filtersRefused(this.#head, FAILURES.overloaded);
    }
    const turn = ++this.#turn;
    this.#waiting = true;
    this.#phase = phase;
    this.#sinceMs = sinceMs;
    const { e, n, hasBody } = this.#head;
    // What was read is there during this call only.
    const b = Buffer.allocUnsafeSlow(n);
    this.#head.b.copy(b, 0, 0, n);
    this.#head = { ...this.#head, b };
    this.#load.hold(n);
    this.#down.setDeadline('filter', WAIT_MAX_MS);
    if (hasBody) this.#down.pauseRequest();
    promise.then(
      (outcome) => {
        if (turn === this.#turn) this.#settled(outcome);
      },
      (error: unknown) => {
        if (turn === this.#turn) this.#owner.filterBroke(error);
      },
    );
    return hasBody ? n : e;
  }

  #settled(outcome: Outcome): void {
    const { b, hasBody } = this.#head;
    this.#waitEnds(monotonicMs());
    try {
      this.#owner.readAgain(this.#head);
      if (hasBody) this.#down.resumeRequest();
      const at = this.#act(outcome) ?? this.#goOn();
      // Without a body the connection has kept what came behind the head.
      this.#down.requestRead(b, hasBody ? at : b.length);
    } catch (error) {
      this.#owner.filterBroke(error);
    }
  }

  #waitEnds(nowMs: number): void {
    this.#waiting = false;
    this.#turn++;
    this.#record.phaseNs[this.#phase]! += (nowMs - this.#sinceMs) * 1e6;
    this.#load.hold(-this.#head.b.length);
  }
}
