/** What a proxy under test is to the benchmark. */
import type { ChildProcess } from 'node:child_process';

/** What every peer is given. */
export interface Place {
  readonly upstreamPort: number;
  /** Port of this peer's own collector. */
  readonly collectorPort: number;
  /** Folder for configuration files. */
  readonly folder: string;
}

export interface Running {
  readonly child: ChildProcess;
  readonly port: number;
  /** Ledgers of its processes that carry requests, where the peer is ours. */
  readonly ledgers?: () => Promise<readonly OurLedger[]>;
}

export interface Peer {
  readonly key: string;
  readonly name: string;
  /** Spans due for each request; 0 when it records none. */
  readonly spansPerRequest: number;
  /** Why it cannot run here. */
  readonly missing?: string;
  /** What its requests must bring to be carried. */
  readonly headers?: Readonly<Record<string, string>>;
  /** It is spoken to by TLS. */
  readonly isTls?: boolean;
  readonly run: (to: Place) => Promise<Running>;
}

/** What one process of ours says became of its hops. */
export interface OurLedger {
  readonly pid: number;
  readonly hops_finished: number;
  readonly emitted: number;
  readonly dropped: Readonly<Record<string, number>>;
}
