/**
 * A process that spools for tests that kill it: one message after the other, each named on stdout
 * only once the disk has it.
 */
import { setImmediate } from 'node:timers/promises';
import { AzimuthError } from '../../runtime/errors.ts';
import { silentLog } from '../../runtime/log.ts';
import { Spool } from '../../transport/spool/spool.ts';
import { SAMPLE_RESOURCE } from './hop-samples.ts';
import { tracesOf } from './otlp-proto.ts';

const { DIR, BOOT } = process.env;
const spool = new Spool({
  dir: DIR!,
  resource: { ...SAMPLE_RESOURCE, proxyName: 'edge', bootId: BOOT! },
  bytesMax: 64 * 1024 * 1024,
  log: silentLog,
});
for (let i = 0; ; i++) {
  const name = `${BOOT!}-${i}`;
  const body = tracesOf([{ service: 'edge', name, padding: (i % 50) * 20 }]);
  if (!(await spool.append({ signal: 'traces', body, items: 1 })))
    throw new AzimuthError('AZ_DISK_FULL', name);
  process.stdout.write(`${name}\n`);
  await setImmediate();
}
