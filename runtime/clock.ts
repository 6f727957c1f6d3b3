/**
 * Time. Durations are differences of `monotonicMs()` in one process; a timestamp is a wall anchor
 * plus monotonic time, so that a wall clock that is set back or forth in between never bends a
 * duration. The anchor is re-taken every 10 s, outside requests, by whoever owns the clock.
 *
 * Nanoseconds since 1970 do not fit a double exactly (1.8e18 > 2^53), hence the split in words.
 */
import { readFileSync } from 'node:fs';
import { hostname } from 'node:os';
// The global of this name is a getter, which costs as much again as the reading.
import { performance } from 'node:perf_hooks';

/** Monotonic milliseconds with a nanosecond fraction; 0 is the start of the process. */
export const monotonicMs = (): number => performance.now();

/** How often the owner of a clock should call `anchor()`, milliseconds. */
export const ANCHOR_INTERVAL_MS = 10_000;

export class Clock {
  readonly #wallMs: () => number;
  readonly #monoMs: () => number;
  /** Wall nanoseconds at monotonic 0. */
  #anchorNs = 0n;

  constructor(wallMs: () => number = Date.now, monoMs: () => number = monotonicMs) {
    this.#wallMs = wallMs;
    this.#monoMs = monoMs;
    this.anchor();
  }

  /** Takes the wall clock anew. Timestamps after it may step; durations do not. */
  anchor(): void {
    const mono = this.#monoMs();
    this.#anchorNs = BigInt(this.#wallMs()) * 1_000_000n - BigInt(Math.round(mono * 1e6));
  }

  get anchorNs(): bigint {
    return this.#anchorNs;
  }

  /** Unix nanoseconds of a monotonic reading. */
  unixNs(monoMs: number): bigint {
    return this.#anchorNs + BigInt(Math.round(monoMs * 1e6));
  }

  /** Unix milliseconds now, by the anchor. */
  nowMs(): number {
    return Number(this.unixNs(this.#monoMs()) / 1_000_000n);
  }
}

/**
 * Clock domain: one host since its boot. Linux names a boot in /proc; elsewhere the host name and
 * the boot time to the minute stand in for it.
 */
export function clockId(): string {
  try {
    const boot = readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();
    return boot.replaceAll('-', '').slice(0, 16);
  } catch {
    const bootMinute = Math.round((Date.now() - process.uptime() * 1000) / 60_000);
    return `${hostname()}-${bootMinute}`;
  }
}
