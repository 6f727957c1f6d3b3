/**
 * Reads of accepted connections, all through ONE buffer. By Node's own way each read of a few hundred
 * bytes allocates 64 KiB, gives most of it back, and is passed on as an event: a tenth of what a
 * request costs altogether. Node has the cure for connections that it opens (`onread`), and not for
 * those that it accepts: hence this one place that takes the accepted socket apart (docs/adr/030).
 * Where that does not work, bytes come as events, and all is as before but for the cost.
 */
import { Socket, type SocketConstructorOpts } from 'node:net';

const READ_BYTES = 65_536;
const shared = Buffer.allocUnsafeSlow(READ_BYTES);

/** Gets b[0, n), valid during the call only: whoever keeps bytes copies them. */
export type Take = (b: Buffer, n: number) => void;

/** The part of a socket that Node keeps to itself: what the operating system knows as the connection. */
interface Handled {
  _handle?: object | null;
}

/** The reads of one connection. */
export class Reading {
  /** To be used from now on, instead of the one that was accepted. */
  readonly socket: Socket;
  #take: Take | undefined;

  /**
   * Reads from a socket that was just accepted; it may be paused, and may hold bytes that were read
   * already. `isTls`: what is read is decrypted first, and only Node can do that.
   */
  constructor(accepted: Socket, isTls: boolean, take: Take) {
    this.#take = take;
    this.socket = (isTls ? undefined : this.#adopted(accepted)) ?? accepted;
    if (this.socket === accepted) {
      accepted.on('data', (bytes: Buffer) => this.#take?.(bytes, bytes.length));
      accepted.resume();
      return;
    }
    if (accepted.readableLength > 0 || accepted.readableEnded) this.#catchUp(accepted);
    // It has no connection any more, and says goodbye to the server that accepted it.
    accepted.destroy();
  }

  /**
   * Lets go of whoever takes the bytes and of all that listens, once the socket is closed. A closed
   * handle outlives collections of the young generation, and the socket with it; what hangs on that
   * would grow old as well: in a flood, most of what must be marked (docs/adr/029).
   */
  end(): void {
    this.#take = undefined;
    this.socket.removeAllListeners().on('error', ignore);
  }

  /** Takes what was read before anything else is: Node reads when all that is due in this turn was done. */
  #catchUp(accepted: Socket): void {
    const early = accepted.read() as Buffer | null;
    process.nextTick(() => {
      if (early !== null && !this.socket.destroyed) this.#take?.(early, early.length);
    });
    // Begins to read anew, or an end that was seen already would not be seen again.
    this.socket.pause();
    this.socket.resume();
  }

  /** Another socket on the same connection, one that reads into the shared buffer; if that is to be had. */
  #adopted(accepted: Socket & Handled): Socket | undefined {
    const handle = accepted._handle;
    if (handle === undefined || handle === null) return undefined;
    const options = {
      handle,
      allowHalfOpen: true,
      onread: {
        buffer: shared,
        callback: (bytes: number): boolean => {
          this.#take?.(shared, bytes);
          return true;
        },
      },
    };
    const socket: Socket & Handled = new Socket(options as unknown as SocketConstructorOpts);
    if (socket._handle !== handle) return undefined;
    accepted._handle = null;
    return socket;
  }
}

const ignore = (): void => undefined;
