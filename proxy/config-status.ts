/**
 * What became of the configurations that a proxy was given: which one is in force, since when, and
 * why the last refused one was refused. For `/config`, `/metrics` and the log; decides nothing.
 */
import type { Log } from '../runtime/log.ts';

/** What a reload came to. */
export type ReloadOutcome =
  | { readonly kind: 'applied'; readonly generation: number; readonly restartsWorkers: boolean }
  | { readonly kind: 'unchanged' }
  | { readonly kind: 'refused'; readonly faults: readonly string[] };

/** As it crosses process borders. */
export interface ConfigStatusJson {
  readonly generation: number;
  /** ISO 8601. */
  readonly loaded_at: string;
  /** Reloads since the start, by outcome. */
  readonly reloads: {
    readonly applied: number;
    readonly unchanged: number;
    readonly refused: number;
  };
  /** The last that was refused; absent once a later one was good. */
  readonly refused?: { readonly at: string; readonly faults: readonly string[] };
}

export class ConfigStatus {
  readonly #log: Log;
  readonly #counts = { applied: 0, unchanged: 0, refused: 0 };
  #generation: number;
  #loadedAt = new Date();
  #refused: { at: Date; faults: readonly string[] } | undefined;

  constructor(generation: number, log: Log) {
    this.#generation = generation;
    this.#log = log;
  }

  get generation(): number {
    return this.#generation;
  }

  /** Takes note of an outcome, and tells the operator. */
  note(outcome: ReloadOutcome): void {
    this.#counts[outcome.kind]++;
    if (outcome.kind === 'refused') {
      const { faults } = outcome;
      this.#refused = { at: new Date(), faults };
      this.#log.error('the changed mesh file is refused, the configuration before it stays', {
        generation: this.#generation,
        faults: faults.join('\n'),
      });
      return;
    }
    this.#refused = undefined;
    if (outcome.kind === 'unchanged') {
      this.#log.info('the mesh file says nothing new for this process', {
        generation: this.#generation,
      });
      return;
    }
    this.#generation = outcome.generation;
    this.#loadedAt = new Date();
    this.#log.info('configuration applied', {
      generation: outcome.generation,
      restarts_workers: outcome.restartsWorkers,
    });
  }

  json(): ConfigStatusJson {
    return {
      generation: this.#generation,
      loaded_at: this.#loadedAt.toISOString(),
      reloads: { ...this.#counts },
      ...(this.#refused === undefined
        ? {}
        : { refused: { at: this.#refused.at.toISOString(), faults: this.#refused.faults } }),
    };
  }
}
