/**
 * A worker process: one data plane that gets its connections, its configuration and its end from
 * the primary over the channel between them. Listens on nothing. When the primary is gone it drains
 * and ends: nobody would give it work, and nobody would replace it.
 */
import { Socket } from 'node:net';
import type { ProxyPart } from '../../mesh/part.ts';
import { messageOf } from '../../runtime/errors.ts';
import type { Log } from '../../runtime/log.ts';
import type { Ledger } from '../../telemetry/ledger.ts';
import type { Exporter } from '../../transport/exporter.ts';
import { DataPlane } from '../data-plane.ts';
import { snapshotTopics } from '../snapshot-topics.ts';
import type { ToPrimary, ToWorker } from './messages.ts';
import { createResponder, type Question } from './snapshots.ts';

/** A worker's end of the channel; `process` has it. */
export interface WorkerChannel {
  readonly send: (message: ToPrimary) => boolean;
  readonly onMessage: (take: (message: ToWorker, handle: unknown) => void) => void;
  readonly onDisconnect: (run: () => void) => void;
}

export interface WorkerSettings {
  readonly channel: WorkerChannel;
  readonly log: Log;
  readonly createExporter: (part: ProxyPart, log: Log) => Promise<Exporter>;
}

/** How a worker ended. */
export interface WorkerEnd {
  readonly proxy: string;
  readonly bootId: string;
  readonly ledger: Ledger | undefined;
}

/** Works until told to stop; resolves when the closing ledger was sent or given up. */
export function runWorker(settings: WorkerSettings): Promise<WorkerEnd> {
  return new Promise((resolve, reject) => {
    const { channel } = settings;
    let log = settings.log;
    let plane: DataPlane | undefined;
    let respond: ((question: Question) => void) | undefined;

    const configure = async (message: ToWorker & { kind: 'configure' }): Promise<void> => {
      const { part, worker, stateFolder } = message;
      log = log.with({ proxy: part.name, worker });
      const exporter = await settings.createExporter(part, log);
      plane = new DataPlane({ part, exporter, log, stateFolder });
      respond = createResponder(snapshotTopics(plane), channel.send);
      plane.start();
      log.info('worker is ready', { boot_id: plane.bootId, pid: process.pid });
      channel.send({ kind: 'ready', bootId: plane.bootId });
    };
    const stop = (): void => {
      if (plane === undefined) {
        resolve({ proxy: '', bootId: '', ledger: undefined });
        return;
      }
      const { bootId, proxy } = plane;
      plane.stop().then(() => resolve({ proxy, bootId, ledger: plane?.closingLedger }), reject);
    };

    channel.onDisconnect(stop);
    channel.onMessage((message, handle) => {
      switch (message.kind) {
        case 'configure':
          configure(message).catch((error: unknown) => {
            log.error('worker cannot begin', { error: messageOf(error) });
            reject(error instanceof Error ? error : new Error(messageOf(error)));
          });
          return;
        case 'connection':
          // Undefined when the client was gone before the connection could be handed over.
          if (handle instanceof Socket) acceptHandedOver(plane, message.listener, handle);
          return;
        case 'apply':
          plane?.apply(message.part);
          return;
        case 'stop':
          stop();
          return;
        default:
          respond?.(message);
      }
    });
  });
}

function acceptHandedOver(plane: DataPlane | undefined, listener: string, socket: Socket): void {
  // As the listening sockets of one process make them; a socket that is handed over forgets it.
  socket.allowHalfOpen = true;
  socket.setNoDelay(true);
  if (plane === undefined) socket.destroy();
  else plane.accept(listener, socket);
}
