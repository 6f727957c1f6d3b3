/**
 * Starts and asks a gateway in a process of its own (proxy-child.ts).
 */
import { fork, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import type { LimitsPart } from '../../mesh/limits.ts';
import { limitsState, type LimitsState } from './proxy-lab.ts';
import { until } from './until.ts';

export interface ChildSettings {
  readonly upstreamPort: number;
  /** Where they differ from the defaults of a mesh file. */
  readonly limits?: Partial<LimitsPart>;
}

export interface ChildState {
  /** -1 where the system does not say. */
  readonly openFiles: number;
  readonly rssBytes: number;
  /** Processor time since the start. */
  readonly cpuUs: number;
  readonly hopsFinished: number;
  readonly inFlight: number;
  readonly exported: number;
}

export class ChildProxy {
  readonly port: number;
  readonly #adminPort: number;
  readonly #child: ChildProcess;

  private constructor(child: ChildProcess, port: number, adminPort: number) {
    this.#child = child;
    this.port = port;
    this.#adminPort = adminPort;
  }

  static async start(settings: ChildSettings): Promise<ChildProxy> {
    const script = fileURLToPath(new URL('./proxy-child.ts', import.meta.url));
    const child = fork(script, [JSON.stringify(settings)], { stdio: 'inherit' });
    const ended = once(child, 'exit').then((): never => {
      throw new Error('the proxy ended before it listened; its message stands above');
    });
    const [ports] = (await Promise.race([once(child, 'message'), ended])) as [
      { port: number; adminPort: number },
    ];
    // Its end is expected from now on.
    ended.catch(() => undefined);
    return new ChildProxy(child, ports.port, ports.adminPort);
  }

  get pid(): number {
    return this.#child.pid ?? 0;
  }

  async state(): Promise<ChildState> {
    const answer = once(this.#child, 'message');
    this.#child.send({});
    return ((await answer) as [ChildState])[0];
  }

  /** What `/limits` of the admin application says. */
  async limits(): Promise<LimitsState> {
    const answer = await fetch(`http://127.0.0.1:${this.#adminPort}/limits`);
    return limitsState(await answer.json());
  }

  /** Resolves when the limits meet the condition. */
  async until(condition: (state: LimitsState) => boolean): Promise<LimitsState> {
    return until(async () => {
      const state = await this.limits();
      return condition(state) && state;
    });
  }

  async stop(): Promise<void> {
    const exited = once(this.#child, 'exit');
    this.#child.disconnect();
    await exited;
  }
}
