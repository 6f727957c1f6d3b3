/**
 * Keeps a proxy's memory small where V8 would let it grow, and large enough where V8 would take it away.
 *
 * The young generation doubles under load, up to 32 MiB of garbage at rest, and while a program is
 * loaded it does so at once. Where little happens V8 shrinks it to a few percent of that, and where it
 * may not grow again every request costs a third more. Hence one size, held from both sides
 * (docs/adr/031). And what is read from sockets lies outside V8's heap, where 64 MB of it may wait
 * for a collection: a long body makes hardly any other garbage that would bring one about.
 *
 * Marking stays on the thread that carries requests, in small steps: the heap has some 20 MB, and where
 * a proxy has one core, threads that mark beside it take that core away for 10 ms and more at a time
 * (seen as p99 in floods of new connections, which die old enough to be marked). And the steps go on
 * across collections of the young generation, as in Node 22 and before. Node 24 has such a
 * collection finish all marking at once, 20 ms in which nobody is served (docs/adr/029).
 */
import { getHeapSpaceStatistics, setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

const MIB = 1024 * 1024;
/** Both halves of the young generation. */
const YOUNG_BYTES = 8 * MIB;
/** So soon that it hardly ever grows twice between two looks, as it may where much survives. */
const LOOK_INTERVAL_MS = 100;
/** Bytes read between two collections of the young generation that we ask for. */
const READ_BYTES = 16 * MIB;

/** As V8 documents it under --expose-gc. */
type Collect = (options: { readonly type: 'minor' }) => void;

const GROWTH = '--semi-space-growth-factor';

let collect: Collect | undefined;
let readBytes = 0;
/** How many times its size the young generation has once it grows. */
let growthFactor = 0;
/** Flags for the start of a process that is to be bound: what has grown before is not made smaller. */
export const START_FLAGS = [`${GROWTH}=1`];

/** For this process, before it carries requests. */
export function boundYoungGeneration(): void {
  setFlagsFromString('--no-concurrent-marking');
  setFlagsFromString('--no-separate-gc-phases');
  setFlagsFromString('--expose-gc');
  collect = runInNewContext('gc') as Collect;
  // Its second half is there from the first collection on.
  collect({ type: 'minor' });
  holdSize();
  setInterval(holdSize, LOOK_INTERVAL_MS).unref();
}

/** Lets V8 make it as large as it is to be in one step, or no larger. */
function holdSize(): void {
  const young = getHeapSpaceStatistics().find(({ space_name: name }) => name === 'new_space');
  const factor = Math.max(1, Math.floor(YOUNG_BYTES / (young?.space_size ?? YOUNG_BYTES)));
  if (factor === growthFactor) return;
  growthFactor = factor;
  setFlagsFromString(`${GROWTH}=${factor}`);
}

/** So many bytes came from a socket. */
export function noteRead(bytes: number): void {
  readBytes += bytes;
  if (readBytes < READ_BYTES) return;
  readBytes = 0;
  collect?.({ type: 'minor' });
}
