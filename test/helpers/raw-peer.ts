/** One side of a TCP connection in a test: sends text as it is written, keeps what comes, and waits for it. */
import type net from 'node:net';

/** Wakes whoever waits each time that something happened. */
export class Signal {
  #waiting: (() => void)[] = [];

  fire(): void {
    for (const wake of this.#waiting.splice(0)) wake();
  }

  async until(condition: () => boolean): Promise<void> {
    while (!condition()) await new Promise<void>((resolve) => this.#waiting.push(resolve));
  }
}

/** One side of a raw connection. */
export class RawPeer {
  readonly socket: net.Socket;
  received = '';
  receivedBytes = 0;
  /** The other side ended its side in order. */
  ended = false;
  closed = false;
  errorCode = '';
  readonly #signal = new Signal();

  constructor(socket: net.Socket, onChange: () => void = () => undefined) {
    this.socket = socket;
    const changed = (): void => {
      this.#signal.fire();
      onChange();
    };
    socket.setNoDelay(true);
    socket.on('data', (bytes: Buffer) => {
      this.receivedBytes += bytes.length;
      // Large bodies are counted, not kept.
      if (this.received.length < 1_000_000) this.received += bytes.toString('latin1');
      changed();
    });
    socket.on('end', () => {
      this.ended = true;
      changed();
    });
    socket.on('error', (error: NodeJS.ErrnoException) => {
      this.errorCode = error.code ?? 'error';
    });
    socket.on('close', () => {
      this.closed = true;
      changed();
    });
  }

  send(text: string | Buffer): this {
    this.socket.write(typeof text === 'string' ? Buffer.from(text, 'latin1') : text);
    return this;
  }

  /** Sends one byte per packet. */
  async drip(text: string): Promise<void> {
    for (const byte of Buffer.from(text, 'latin1')) {
      this.socket.write(Buffer.from([byte]));
      await new Promise((resolve) => setImmediate(resolve));
    }
  }

  /** Resolves when what was received so far holds `text`, or meets the condition. */
  async until(wanted: string | ((peer: RawPeer) => boolean)): Promise<string> {
    const met = (): boolean =>
      typeof wanted === 'string' ? this.received.includes(wanted) : wanted(this);
    await this.#signal.until(() => met() || this.closed);
    if (!met()) {
      throw new Error(`closed (${this.errorCode}) before ${String(wanted)}: ${this.received}`);
    }
    return this.received;
  }

  async untilClosed(): Promise<this> {
    await this.#signal.until(() => this.closed || this.ended);
    return this;
  }
}

/** Writes `bytes` in pieces; returns how many the kernel took before it took no more. */
export async function fillUp(socket: net.Socket, bytes: number): Promise<number> {
  const piece = Buffer.alloc(100_000, 'x');
  let taken = 0;
  let written = 0;
  while (written < bytes) {
    const before = written;
    socket.write(piece, () => {
      taken += piece.length;
    });
    written += piece.length;
    for (let turn = 0; turn < 500 && taken === before; turn++) {
      await new Promise((r) => setImmediate(r));
    }
    if (taken === before) break;
  }
  socket.write(Buffer.alloc(bytes - written, 'x'));
  return taken;
}
