/**
 * Keeps V8's young generation as small as it is when a proxy begins to serve. It would double under
 * load, up to 32 MiB of garbage at rest; what a proxy allocates lives for one request or for ever,
 * so a larger one saves no work and costs the caches. Figures: bench/README.md.
 */
import { setFlagsFromString } from 'node:v8';

export function boundYoungGeneration(): void {
  setFlagsFromString('--semi-space-growth-factor=1');
}
