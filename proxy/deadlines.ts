/**
 * Deadlines of connections. Setting one is a plain store of a tick number into the connection; one
 * timer for all compares them ten times a second. No timer object per request: a sweep over 8,000
 * idle connections costs about 0.1 ms, starting and stopping 50,000 timers a second costs a tenth
 * of a core. A deadline therefore fires up to two ticks late and never early. Where many pass in one
 * tick, a few fire in each turn of the event loop, so that others get their turn between.
 *
 * The same tick measures how late the event loop is.
 */

/** Length of a tick. All deadlines of the data plane are seconds. */
export const TICK_MS = 100;
/** Tick number of a connection that has no deadline. */
export const NEVER = 0x3fffffff;

/** Some 2 ms of answers to those who were too slow. */
export const FIRED_PER_TURN = 16;

/** What has a deadline. Owns its fields; the sweep only reads `deadline` and calls back. */
export interface Deadlined {
  /** Tick number, see Deadlines.in(); NEVER for none. */
  deadline: number;
  /** Place in the list, -1 when not in it. Belongs to Deadlines. */
  deadlineIndex: number;
  /** The deadline has passed; it was set to NEVER before the call. */
  onDeadline(): void;
}

export class Deadlines {
  tick = 0;
  /** Lateness of all ticks since the start, milliseconds; a hop takes the difference. */
  lateTotalMs = 0;
  #lateMaxMs = 0;
  readonly #list: Deadlined[] = [];
  /** Entries below this index are still to be looked at. */
  #ahead = 0;
  #turn: NodeJS.Immediate | undefined;
  #timer: NodeJS.Timeout | undefined;
  #expectedMs = 0;
  readonly #nowMs: () => number;

  constructor(nowMs: () => number = () => performance.now()) {
    this.#nowMs = nowMs;
  }

  /** Begins to tick by the real clock. Tests call `advance` instead. */
  start(): void {
    this.#expectedMs = this.#nowMs() + TICK_MS;
    this.#timer = setInterval(() => {
      const now = this.#nowMs();
      const lateMs = Math.max(0, now - this.#expectedMs);
      this.lateTotalMs += lateMs;
      this.#lateMaxMs = Math.max(this.#lateMaxMs, lateMs);
      // Ticks that a blocked loop missed are made up for, or deadlines would stretch.
      const ticks = 1 + Math.floor(lateMs / TICK_MS);
      this.#expectedMs = now + TICK_MS;
      this.#pass(ticks);
      this.#fireInTurns();
    }, TICK_MS);
  }

  stop(): void {
    clearInterval(this.#timer);
    clearImmediate(this.#turn);
    this.#turn = undefined;
  }

  /** Tick number that lies at least `ms` ahead. */
  in(ms: number): number {
    return this.tick + Math.ceil(ms / TICK_MS) + 1;
  }

  add(entry: Deadlined): void {
    entry.deadlineIndex = this.#list.length;
    this.#list.push(entry);
  }

  /** Safe to call twice. */
  remove(entry: Deadlined): void {
    const index = entry.deadlineIndex;
    if (index < 0) return;
    entry.deadlineIndex = -1;
    const last = this.#list.pop()!;
    if (last === entry) return;
    this.#list[index] = last;
    last.deadlineIndex = index;
  }

  /** Lets time pass by hand, for tests. */
  advance(ms: number): void {
    this.#pass(Math.ceil(ms / TICK_MS) + 1);
    this.#fire(Infinity);
  }

  /** Largest lateness since the last call, milliseconds. */
  takeLateMaxMs(): number {
    const lateMs = this.#lateMaxMs;
    this.#lateMaxMs = 0;
    return lateMs;
  }

  /** All are looked at anew: who was due in a tick before and did not get a turn is due still. */
  #pass(ticks: number): void {
    this.tick += ticks;
    this.#ahead = this.#list.length;
  }

  #fireInTurns(): void {
    if (this.#turn !== undefined || this.#fire(FIRED_PER_TURN)) return;
    this.#turn = setImmediate(() => {
      this.#turn = undefined;
      this.#fireInTurns();
    });
  }

  /** Calls at most `most` entries that are due. True when none is left. */
  #fire(most: number): boolean {
    // Backwards: an entry that is removed is replaced by the last, which was looked at already or
    // still lies ahead.
    let fired = 0;
    while (this.#ahead > 0 && fired < most) {
      const entry = this.#list[--this.#ahead];
      if (entry === undefined || entry.deadline > this.tick) continue;
      entry.deadline = NEVER;
      entry.onDeadline();
      fired++;
    }
    return this.#ahead === 0;
  }
}
