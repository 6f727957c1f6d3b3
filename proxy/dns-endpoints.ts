/**
 * Names of endpoints as all the addresses that they stand for, looked up again and again: an instance
 * that is new gets requests, one that is gone gets no new ones. A look-up that fails changes nothing.
 * Until the first answer, the name itself is the endpoint.
 */
import { lookup } from 'node:dns/promises';
import { isIP } from 'node:net';
import type { Endpoint } from '../mesh/part.ts';
import type { Timers } from '../runtime/timers.ts';

/** All addresses of a name; rejects when there are none. */
export type Lookup = (host: string) => Promise<readonly string[]>;

const lookupAll: Lookup = async (host) =>
  (await lookup(host, { all: true, order: 'verbatim' })).map(({ address }) => address);

export class DnsEndpoints {
  readonly #endpoints: readonly Endpoint[];
  readonly #refreshMs: number;
  readonly #timers: Timers;
  readonly #lookup: Lookup;
  readonly #onChange: (endpoints: readonly Endpoint[]) => void;
  /** Last answer by name. */
  readonly #known = new Map<string, readonly string[]>();
  #told = '';
  #cancel: () => void;
  #closed = false;

  /** Begins at once. `onChange`: other addresses than the last time, at least one. */
  constructor(
    endpoints: readonly Endpoint[],
    refreshMs: number,
    timers: Timers,
    onChange: (endpoints: readonly Endpoint[]) => void,
    find: Lookup = lookupAll,
  ) {
    this.#endpoints = endpoints;
    this.#refreshMs = refreshMs;
    this.#timers = timers;
    this.#onChange = onChange;
    this.#lookup = find;
    this.#cancel = timers.after(0, () => void this.#round());
  }

  close(): void {
    this.#closed = true;
    this.#cancel();
  }

  async #round(): Promise<void> {
    const names = new Set(this.#endpoints.map(({ host }) => host).filter((host) => isIP(host) === 0)); // prettier-ignore
    await Promise.all(
      [...names].map(async (name) => {
        try {
          const found = await this.#lookup(name);
          // In an order of its own, so that the same answer turned round is no change.
          if (found.length > 0) this.#known.set(name, [...new Set(found)].sort());
        } catch {
          // The last answer stays: a name server that is away takes no endpoint away.
        }
      }),
    );
    if (this.#closed) return;
    const endpoints = this.#endpoints.flatMap(({ host, port }) =>
      (this.#known.get(host) ?? [host]).map((address) => ({ host: address, port })),
    );
    const told = JSON.stringify(endpoints);
    if (told !== this.#told) {
      this.#told = told;
      this.#onChange(endpoints);
    }
    this.#cancel = this.#timers.after(this.#refreshMs, () => void this.#round());
  }
}
