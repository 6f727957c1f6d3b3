/**
 * How this project opens kafkajs: the settings that the measurements proved, its busy timer off,
 * our codecs in, its log lines in our log, and a way to end it at once. Everything in this folder
 * that talks to a broker starts here; nothing outside of this folder imports kafkajs.
 */
import kafkajs from 'kafkajs';
import { createRequire } from 'node:module';
import { connect, isIP, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import type { Log } from '../../runtime/log.ts';
import { monotonicMs } from '../../runtime/clock.ts';
import { registerCodecs } from './codecs.ts';
import type { KafkaAccess } from './kafka-access.ts';

/**
 * kafkajs retries by itself over this many tries, 100 ms doubling to 1 s: about half a minute, so
 * that a leader change or a broker's restart never surfaces. Not a buffer: that is the queue.
 */
export const RETRY = { retries: 30, initialRetryTime: 100, maxRetryTime: 1000 } as const;

/** Shorter ones multiply the duplicates when a broker is slow (3,955 of 15,000 seen with 6 s). */
const REQUEST_TIMEOUT_MS = 10_000;
const CONNECTION_TIMEOUT_MS = 3_000;

/** While a broker is away kafkajs logs the same line several times a second. */
const SAME_LINE_EVERY_MS = 10_000;

export interface KafkaConnectionSettings extends KafkaAccess {
  /** Shows in the broker's log and quotas. */
  readonly clientId: string;
  readonly log: Log;
  /** Tries after the first; for commands that a person waits for. Default 30. */
  readonly retries?: number;
}

export interface KafkaConnection {
  readonly kafka: kafkajs.Kafka;
  /**
   * Ends all connections now and makes every further try fail, so that no retry of kafkajs (up to
   * half a minute) keeps the process alive. For after the orderly disconnect, or instead of it.
   */
  readonly abort: () => void;
}

export function openKafka(settings: KafkaConnectionSettings): KafkaConnection {
  stopBusyTimer();
  registerCodecs(settings.log);
  const sockets = new Set<Socket>();
  let aborted = false;
  const kafka = new kafkajs.Kafka({
    clientId: settings.clientId,
    // An empty list is the one answer that kafkajs does not retry.
    brokers: () => (aborted ? [] : [...settings.brokers]),
    retry: { ...RETRY, retries: settings.retries ?? RETRY.retries },
    // For its log lines: what makes the connection secure is the socket factory below.
    ssl: settings.tls !== undefined,
    ...(settings.sasl === undefined ? {} : { sasl: { ...settings.sasl } as kafkajs.SASLOptions }),
    requestTimeout: REQUEST_TIMEOUT_MS,
    connectionTimeout: CONNECTION_TIMEOUT_MS,
    logLevel: kafkajs.logLevel.INFO,
    logCreator: () => createLogWriter(settings.log, settings.brokers.join(', '), () => aborted),
    socketFactory: ({ host, port, onConnect }) => {
      if (aborted) throw new Error('closed');
      const address = { host, port, noDelay: true, keepAlive: true };
      const { tls } = settings;
      // A name for SNI; an IP address is none.
      const name = isIP(host) === 0 ? { servername: host } : {};
      const socket =
        tls === undefined
          ? connect(address, onConnect)
          : connectTls({ ...address, ...name, ...tls }, onConnect);
      sockets.add(socket);
      socket.once('close', () => sockets.delete(socket));
      return socket;
    },
  });
  return {
    kafka,
    abort: () => {
      aborted = true;
      // With an error, because kafkajs rejects what is in flight on 'error' and not on 'close'.
      for (const socket of sockets) socket.destroy(new Error('closed by us'));
    },
  };
}

/** What of kafkajs's request queue the patch touches. */
interface RequestQueue {
  pending: unknown[];
  throttledUntil: number;
  throttleCheckTimeoutId: NodeJS.Timeout | null;
  checkPendingRequests(): void;
}

let patched = false;

/**
 * kafkajs 2.2.4 re-arms a timer for the past after each response, also with nothing pending: 3.5 %
 * of a core and 820 wake-ups a second when idle, and a TimeoutNegativeWarning on Node 24 (its
 * issues 1704, 1751; the fixes are unmerged). With nothing pending there is nothing to check.
 */
function stopBusyTimer(): void {
  if (patched) return;
  patched = true;
  const queue = createRequire(import.meta.url)('kafkajs/src/network/requestQueue') as {
    prototype: { scheduleCheckPendingRequests(this: RequestQueue): void };
  };
  queue.prototype.scheduleCheckPendingRequests = function (this: RequestQueue): void {
    if (this.pending.length === 0 || this.throttleCheckTimeoutId !== null) return;
    this.throttleCheckTimeoutId = setTimeout(
      () => {
        this.throttleCheckTimeoutId = null;
        this.checkPendingRequests();
      },
      Math.max(this.throttledUntil - Date.now(), 10),
    );
  };
}

/**
 * kafkajs calls an error what it is about to retry, so its errors are warnings here, each at most
 * every ten seconds, and the rest is for debugging. Whoever uses it logs what came of it. Lines
 * about finding any broker at all name none; they get the configured ones.
 */
function createLogWriter(
  log: Log,
  configured: string,
  ended: () => boolean,
): (entry: kafkajs.LogEntry) => void {
  const shownAtMs = new Map<string, number>();
  return ({ namespace, level, log: entry }) => {
    const fields = {
      kafkajs: namespace,
      ...(typeof entry['broker'] === 'string' ? { broker: entry['broker'] } : {}),
      ...(namespace === 'BrokerPool' ? { configured } : {}),
      ...(typeof entry['error'] === 'string' ? { error: entry['error'] } : {}),
    };
    // The Connection's lines come again from whoever used the connection, with what follows of it.
    // After our own end whatever fails is meant to.
    if (level !== kafkajs.logLevel.ERROR || namespace === 'Connection' || ended()) {
      log.debug(entry.message, fields);
      return;
    }
    const now = monotonicMs();
    if (now - (shownAtMs.get(entry.message) ?? -Infinity) < SAME_LINE_EVERY_MS) return;
    if (shownAtMs.size > 100) shownAtMs.clear();
    shownAtMs.set(entry.message, now);
    log.warn(entry.message, fields);
  };
}
