/**
 * What filters of one listener keep between requests: counters of rate limits, keys for tokens. Both
 * outlive a change of the mesh file as long as what they were made from stays as it is, so that saving
 * the file gives nobody a new burst and fetches no keys.
 */
import type { JwtPart, RateLimitPart } from '../../mesh/functions.ts';
import type { Log } from '../../runtime/log.ts';
import type { Gcra } from './gcra.ts';
import { KeySet } from './key-set.ts';
import { countersOf } from './rate-limit.ts';

export class FilterState {
  readonly #log: Log;
  #counters = new Map<string, Gcra>();
  #keySets = new Map<string, KeySet>();
  #countersBefore: ReadonlyMap<string, Gcra> = new Map();
  #keySetsBefore: ReadonlyMap<string, KeySet> = new Map();

  constructor(log: Log) {
    this.#log = log;
  }

  /** Begins a configuration: `make` asks for all that it needs, the rest is let go. */
  renew<T>(make: () => T): T {
    this.#countersBefore = this.#counters;
    this.#keySetsBefore = this.#keySets;
    this.#counters = new Map();
    this.#keySets = new Map();
    const made = make();
    for (const [key, keySet] of this.#keySetsBefore) {
      if (!this.#keySets.has(key)) keySet.close();
    }
    this.#countersBefore = new Map();
    this.#keySetsBefore = new Map();
    return made;
  }

  counters(limit: RateLimitPart): Gcra {
    const key = JSON.stringify(limit);
    const counters = this.#counters.get(key) ?? this.#countersBefore.get(key) ?? countersOf(limit);
    this.#counters.set(key, counters);
    return counters;
  }

  /** The keys of an issuer; begins to read them at their first use. */
  keySet({ jwks_url, jwks_file, refresh_s, refresh_min_s, timeout_ms }: JwtPart): KeySet {
    const settings = { jwks_url, jwks_file, refresh_s, refresh_min_s, timeout_ms };
    const key = JSON.stringify(settings);
    const keySet =
      this.#keySets.get(key) ??
      this.#keySetsBefore.get(key) ??
      new KeySet(settings, this.#log).start();
    this.#keySets.set(key, keySet);
    return keySet;
  }

  /** Safe to call twice. */
  close(): void {
    for (const keySet of this.#keySets.values()) keySet.close();
    this.#keySets.clear();
  }
}
