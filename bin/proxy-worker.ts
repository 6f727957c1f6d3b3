/**
 * A worker process of a proxy; forked by the primary, never started by hand. Its signals: SIGTERM
 * asks the primary for a replacement first, so that a worker may be ended by its number; all others
 * are the primary's business (a terminal sends them to the whole group).
 */
import { runWorker, type WorkerChannel } from '../proxy/workers/worker.ts';
import { createLog } from '../runtime/log.ts';
import { boundYoungGeneration } from '../runtime/young-generation.ts';
import { createExporter, writeClosingLedger } from './run-proxy.ts';

boundYoungGeneration();
const channel: WorkerChannel = {
  // False while the channel is behind. With the primary gone there is nobody to tell.
  send: (message) => process.connected && process.send!(message, () => undefined),
  onMessage: (take) => process.on('message', take),
  onDisconnect: (run) => process.on('disconnect', run),
};
for (const signal of ['SIGINT', 'SIGHUP', 'SIGUSR2']) process.on(signal, () => undefined);
process.on('SIGTERM', () => channel.send({ kind: 'leaving' }));

const log = createLog({ fields: { process: 'worker' } });
try {
  const { proxy, bootId, ledger } = await runWorker({ channel, log, createExporter });
  if (ledger !== undefined) writeClosingLedger(proxy, bootId, ledger);
  process.exit(0);
} catch {
  // Logged where it happened.
  process.exit(1);
}
