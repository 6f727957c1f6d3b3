/**
 * Lets new connections in a few at a time, so that those who are inside already get their turn
 * between. The kernel hands over all that wait at once, and what a connection costs before its first
 * answer, some 100 us, would otherwise add up for hundreds of them in one turn of the event loop.
 *
 *   connection ──► fewer than PER_TURN in this turn, none waits ──────────────────► let in
 *             └──► wait, oldest first ──► PER_TURN of them in each further turn ──► let in
 *             └──► WAITING_MAX wait already ──────────────────────────────────────► let in
 *
 * Loses nobody: who waits is let in within milliseconds, and limits and deadlines count from then.
 * A connection that came alone does not wait at all.
 */
import type { Socket } from 'node:net';

/** Some 2 ms of work (bench/results/robustness.md): far below what a client would notice. */
export const PER_TURN = 16;
/**
 * Twice what a listening socket queues by default in Node (511). Past it nobody waits any more, so
 * that the limits of connections see all of them.
 */
export const WAITING_MAX = 1_024;

interface Waiting {
  readonly listener: string;
  readonly socket: Socket;
}

export class Doorway {
  readonly #letIn: (listener: string, socket: Socket) => void;
  #waiting: Waiting[] = [];
  #inThisTurn = 0;
  #turnEnds = false;

  /** `letIn` is called once for each connection that is still open when it is its turn. */
  constructor(letIn: (listener: string, socket: Socket) => void) {
    this.#letIn = letIn;
  }

  /** Connections that wait. */
  get waiting(): number {
    return this.#waiting.length;
  }

  /** Takes a connection of a listener; it may be paused. */
  arrived(listener: string, socket: Socket): void {
    const isTurnOver = this.#inThisTurn >= PER_TURN || this.#waiting.length > 0;
    if (isTurnOver && this.#waiting.length < WAITING_MAX) {
      // Nobody else listens yet; what follows an error is seen when it is let in.
      socket.on('error', ignore);
      this.#waiting.push({ listener, socket });
    } else {
      this.#inThisTurn++;
      this.#enter(listener, socket);
    }
    this.#nextTurn();
  }

  /** Lets in all that wait: the process ends, and they are answered like everybody inside. */
  clear(): void {
    for (const { listener, socket } of this.#waiting.splice(0)) this.#enter(listener, socket);
  }

  #nextTurn(): void {
    if (this.#turnEnds) return;
    this.#turnEnds = true;
    setImmediate(() => {
      this.#turnEnds = false;
      const next = this.#waiting.splice(0, PER_TURN);
      this.#inThisTurn = next.length;
      for (const { listener, socket } of next) this.#enter(listener, socket);
      if (next.length > 0) this.#nextTurn();
    });
  }

  #enter(listener: string, socket: Socket): void {
    if (!socket.destroyed) this.#letIn(listener, socket);
  }
}

const ignore = (): void => undefined;
