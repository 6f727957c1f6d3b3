/**
 * Deadlines of connections. Setting one is a plain store of a tick number into the connection; one
 * timer for all compares them ten times a second. No timer object per request: a sweep over 8,000
 * idle connections costs about 0.1 ms, starting and stopping 50,000 timers a second costs a tenth
 * of a core. A deadline therefore fires up to two ticks late and never early.
 *
 * The same tick measures how late the event loop is.
 */

/** Length of a tick. All deadlines of the data plane are seconds. */
export const TICK_MS = 100;
/** Tick number of a connection that has no deadline. */
export const NEVER = 0x3fffffff;

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
      this.#sweep(ticks);
    }, TICK_MS);
  }

  stop(): void {
    clearInterval(this.#timer);
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
    this.#sweep(Math.ceil(ms / TICK_MS) + 1);
  }

  /** Largest lateness since the last call, milliseconds. */
  takeLateMaxMs(): number {
    const lateMs = this.#lateMaxMs;
    this.#lateMaxMs = 0;
    return lateMs;
  }

  #sweep(ticks: number): void {
    this.tick += ticks;
    // Backwards: an entry that removes itself is replaced by one that was looked at already.
    for (let i = this.#list.length - 1; i >= 0; i--) {
      const entry = this.#list[i];
      if (entry === undefined || entry.deadline > this.tick) continue;
      entry.deadline = NEVER;
      entry.onDeadline();
    }
  }
}
