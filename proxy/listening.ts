/**
 * The listening sockets of a proxy, one per listener of its part: opened, moved and closed as the
 * configuration says. Belongs to the one process of a proxy or to the primary of its workers; hands
 * each connection on and reads nothing from it. A socket that stays open refuses nobody, also while
 * nobody takes its connections.
 */
import { createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import type { Listener } from '../mesh/part.ts';
import { listen } from '../runtime/http-app.ts';
import type { Log } from '../runtime/log.ts';

export interface ListeningSettings {
  /** Gets each connection paused: another process may read from it, or this one when it is its turn. */
  readonly onConnection: (listenerName: string, socket: Socket) => void;
  readonly log: Log;
}

interface ListeningSocket {
  readonly server: Server;
  readonly host: string;
  /** As configured; 0 asks for a free one. */
  readonly port: number;
}

/** A change that is prepared: every new socket is open, no old one is closed. */
export interface PreparedListening {
  /** Takes the new sockets into service and closes those that are no longer wanted. */
  commit(): void;
  /** Closes the new ones again. */
  abandon(): void;
}

/** How often failing accepts are logged. */
const LOG_INTERVAL_MS = 10_000;

export class Listening {
  readonly #settings: ListeningSettings;
  #sockets = new Map<string, ListeningSocket>();
  #complainedAtMs = -Infinity;

  constructor(settings: ListeningSettings) {
    this.#settings = settings;
  }

  /**
   * Opens what the listeners need and is not open yet. Rejects with AZ_PORT_IN_USE or the system's
   * error, and then nothing has changed.
   */
  async prepare(listeners: readonly Listener[]): Promise<PreparedListening> {
    const wanted = new Map<string, ListeningSocket>();
    const fresh: ListeningSocket[] = [];
    const abandon = (): void => {
      for (const { server } of fresh) server.close();
    };
    try {
      for (const { name, host, port } of listeners) {
        const kept = this.#sockets.get(name);
        if (kept?.host === host && kept.port === port) {
          wanted.set(name, kept);
          continue;
        }
        const socket = { server: this.#server(name), host, port };
        await listen(socket.server, host, port);
        socket.server.on('error', (error) => this.#complain(error));
        fresh.push(socket);
        wanted.set(name, socket);
      }
    } catch (error) {
      abandon();
      throw error;
    }
    return {
      abandon,
      commit: () => {
        const before = this.#sockets;
        this.#sockets = wanted;
        for (const [name, { server, host }] of wanted) {
          if (before.get(name)?.server === server) continue;
          this.#settings.log.info('listening', { listener: name, host, port: portOf(server) });
        }
        for (const [name, { server, host }] of before) {
          if (wanted.get(name)?.server === server) continue;
          this.#settings.log.info('no longer listening', { listener: name, host, port: portOf(server) }); // prettier-ignore
          server.close();
        }
      },
    };
  }

  /** Port of a listener by its name. Throws when it does not listen. */
  port(name: string): number {
    const socket = this.#sockets.get(name);
    if (socket === undefined) throw new Error(`no listener is called ${name}`);
    return portOf(socket.server);
  }

  /** No new connections. Those handed on are not touched. */
  close(): void {
    for (const { server } of this.#sockets.values()) server.close();
    this.#sockets.clear();
  }

  #server(name: string): Server {
    const { onConnection } = this.#settings;
    // allowHalfOpen: we decide what the end of the client's side means, see downstream.ts.
    const options = { noDelay: true, allowHalfOpen: true, pauseOnConnect: true };
    // By name, at the time of the connection: a listener that moved is still the same listener.
    return createServer(options, (socket) => onConnection(name, socket));
  }

  #complain(error: Error): void {
    const nowMs = performance.now();
    if (nowMs - this.#complainedAtMs < LOG_INTERVAL_MS) return;
    this.#complainedAtMs = nowMs;
    this.#settings.log.error('accepting connections failed', { error: error.message });
  }
}

const portOf = (server: Server): number => (server.address() as AddressInfo | null)?.port ?? 0;
