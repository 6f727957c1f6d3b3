/**
 * A worker process for tests of its supervisor. It answers each connection with its boot id and ends
 * it; the name of its proxy says how it behaves:
 *
 *   cannot-begin   exits before it is ready
 *   dies-young     exits as soon as the primary knows that it is ready
 *   anything else  works until it is told to stop
 */
import { Socket } from 'node:net';
import type { ToPrimary, ToWorker } from '../../proxy/workers/messages.ts';

const BOOT_ID = `boot-${process.pid}`;
const tell = (message: ToPrimary, then?: () => void): void => {
  process.send!(message, () => then?.());
};

process.on('message', (message: ToWorker, handle: unknown) => {
  if (message.kind === 'configure') {
    const { name } = message.part;
    if (name === 'cannot-begin') process.exit(3);
    tell(
      { kind: 'ready', bootId: BOOT_ID },
      name === 'dies-young' ? () => process.exit(4) : undefined,
    );
  } else if (message.kind === 'connection') {
    if (handle instanceof Socket) handle.end(BOOT_ID);
  } else if (message.kind === 'stop') {
    process.disconnect();
  }
});
process.on('SIGTERM', () => tell({ kind: 'leaving' }));
