/**
 * Keys of an issuer (RFC 7517), from a file or a URL, kept fresh beside the requests:
 *
 *   start ──► first reading ──► set ──(every refresh)──► newer set
 *                  │             │ └─(a token names a key that is not there)─► at once, but not often
 *                  └─ failed     └─(server dead, or answers garbage)─► the old set stays
 *
 * A request waits only for the first reading, or for one that its unknown key asks for. Symmetric keys
 * are left out: whoever could read them here could make tokens.
 */
import { readFile } from 'node:fs/promises';
import { createLocalJWKSet, errors, type JWK, type JWSHeaderParameters } from 'jose';
import { monotonicMs } from '../../runtime/clock.ts';
import { messageOf } from '../../runtime/errors.ts';
import type { Log } from '../../runtime/log.ts';

/** A set of 1,000 RSA keys is about 500 kB. */
const BYTES_MAX = 1_048_576;
/** Least time between two readings while there are no keys at all: soon, but no hammering. */
const FIRST_RETRY_MS = 1_000;

/** There are no keys, and none can be had now. */
export class KeysUnavailable extends Error {}

export interface KeySetSettings {
  readonly jwks_url?: string | undefined;
  readonly jwks_file?: string | undefined;
  readonly refresh_s: number;
  readonly refresh_min_s: number;
  readonly timeout_ms: number;
}

type LocalKeys = ReturnType<typeof createLocalJWKSet>;
/** A key as `crypto.subtle` knows it. */
export type VerifyingKey = Awaited<ReturnType<LocalKeys>>;

export class KeySet {
  readonly #settings: KeySetSettings;
  readonly #log: Log;
  readonly #nowMs: () => number;
  readonly #source: string;
  #keys: LocalKeys | undefined;
  #text = '';
  #reading: Promise<boolean> | undefined;
  #readAtMs = -Infinity;
  #timer: NodeJS.Timeout | undefined;
  readonly #closed = new AbortController();
  /** Counts the sets: what was checked with an earlier one may no longer hold. */
  generation = 0;
  /** Readings that gave no set. */
  failures = 0;

  constructor(settings: KeySetSettings, log: Log, nowMs = monotonicMs) {
    this.#settings = settings;
    this.#log = log;
    this.#nowMs = nowMs;
    this.#source = settings.jwks_url ?? settings.jwks_file ?? '';
  }

  /** Begins to read, now and by the clock. Cannot fail. */
  start(): this {
    void this.refresh();
    this.#timer = setInterval(() => void this.refresh(), this.#settings.refresh_s * 1000);
    this.#timer.unref();
    return this;
  }

  /** Safe to call twice. A reading in hand is given up. */
  close(): void {
    clearInterval(this.#timer);
    this.#closed.abort();
  }

  /**
   * The key that checks a token. Throws KeysUnavailable, or JOSE's error where no key fits, after
   * looking for a newer set.
   */
  async key(header: JWSHeaderParameters): Promise<VerifyingKey> {
    if (this.#keys === undefined) await this.#wanted(FIRST_RETRY_MS);
    const keys = this.#keys;
    if (keys === undefined) throw new KeysUnavailable(`no keys of ${this.#source}`);
    try {
      return await keys(header);
    } catch (error) {
      if (!(error instanceof errors.JWKSNoMatchingKey)) throw error;
      await this.#wanted(this.#settings.refresh_min_s * 1000);
      const newer = this.#keys as LocalKeys;
      if (newer === keys) throw error;
      return await newer(header);
    }
  }

  /** Reads now, or waits for the reading in hand. True when there is a set from it. */
  refresh(): Promise<boolean> {
    this.#reading ??= this.#read().finally(() => {
      this.#reading = undefined;
    });
    return this.#reading;
  }

  /** Reads unless the last reading began less than `leastMs` ago. */
  async #wanted(leastMs: number): Promise<void> {
    if (this.#reading !== undefined || this.#nowMs() - this.#readAtMs >= leastMs) {
      await this.refresh();
    }
  }

  async #read(): Promise<boolean> {
    this.#readAtMs = this.#nowMs();
    try {
      const text = await this.#fetched();
      // The same keys again: what was checked with them still holds.
      if (text !== this.#text) {
        this.#keys = keysIn(text);
        this.#text = text;
        this.generation++;
      }
      return true;
    } catch (error) {
      if (this.#closed.signal.aborted) return false;
      this.failures++;
      this.#log.warn('keys for tokens could not be read', {
        source: this.#source,
        error: messageOf(error),
        keeps: this.#keys === undefined ? 'none' : 'the keys read before',
      });
      return false;
    }
  }

  async #fetched(): Promise<string> {
    const { jwks_url: url, jwks_file: file, timeout_ms: timeoutMs } = this.#settings;
    const signal = AbortSignal.any([AbortSignal.timeout(timeoutMs), this.#closed.signal]);
    if (url === undefined) {
      const text = await readFile(file!, { encoding: 'utf8', signal });
      if (text.length > BYTES_MAX) throw new Error(`more than ${BYTES_MAX} bytes`);
      return text;
    }
    // A redirect would let whoever can redirect choose who signs tokens. A kept connection would be
    // of no use in minutes, and fails the next reading where the server has closed it meanwhile.
    const headers = { connection: 'close' };
    const answer = await fetch(url, { signal, redirect: 'error', headers });
    if (!answer.ok) {
      await answer.body?.cancel();
      throw new Error(`answered ${answer.status}`);
    }
    return boundedText(answer);
  }
}

async function boundedText(answer: Response): Promise<string> {
  const parts: Uint8Array[] = [];
  let bytes = 0;
  const body: AsyncIterable<Uint8Array> | null = answer.body;
  for await (const part of body ?? []) {
    bytes += part.length;
    if (bytes > BYTES_MAX) throw new Error(`more than ${BYTES_MAX} bytes`);
    parts.push(part);
  }
  return Buffer.concat(parts).toString('utf8');
}

/** The usable keys of a JWK set. Throws where there are none. */
function keysIn(text: string): LocalKeys {
  const set = JSON.parse(text) as { keys?: unknown } | null;
  const listed: unknown[] = Array.isArray(set?.keys) ? set.keys : [];
  const keys = listed.filter(isVerifyingKey);
  if (keys.length === 0) throw new Error('holds no key that could check a token');
  return createLocalJWKSet({ keys });
}

function isVerifyingKey(key: unknown): key is JWK {
  const kind = (key as Record<string, unknown> | null)?.['kty'];
  return kind === 'RSA' || kind === 'EC' || kind === 'OKP';
}
