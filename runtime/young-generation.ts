/**
 * Keeps a proxy's memory small where V8 would let it grow.
 *
 * The young generation doubles under load, up to 32 MiB of garbage at rest; what a proxy allocates
 * lives for one request or for ever, so a larger one saves no work. And what is read from sockets
 * lies outside V8's heap, where 64 MB of it may wait for a collection: a long body makes hardly any
 * other garbage that would bring one about. Figures: bench/README.md.
 *
 * Marking stays on the thread that carries requests, in small steps: the heap has some 20 MB, and where
 * a proxy has one core, threads that mark beside it take that core away for 10 ms and more at a time
 * (seen as p99 in floods of new connections, which die old enough to be marked). And the steps go on
 * across collections of the young generation, as in Node 22 and before. Node 24 has such a
 * collection finish all marking at once, 20 ms in which nobody is served (docs/adr/029).
 */
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

/** Bytes read between two collections of the young generation that we ask for. */
const READ_BYTES = 16 * 1024 * 1024;

/** As V8 documents it under --expose-gc. */
type Collect = (options: { readonly type: 'minor' }) => void;

let collect: Collect | undefined;
let readBytes = 0;

/** For this process, before it carries requests. */
export function boundYoungGeneration(): void {
  setFlagsFromString('--semi-space-growth-factor=1');
  setFlagsFromString('--no-concurrent-marking');
  setFlagsFromString('--no-separate-gc-phases');
  setFlagsFromString('--expose-gc');
  collect = runInNewContext('gc') as Collect;
}

/** So many bytes came from a socket. */
export function noteRead(bytes: number): void {
  readBytes += bytes;
  if (readBytes < READ_BYTES) return;
  readBytes = 0;
  collect?.({ type: 'minor' });
}
