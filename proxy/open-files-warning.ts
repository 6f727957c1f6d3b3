/**
 * Says at the start of a proxy, once however many workers it has, when the system lets its processes
 * open too few files for the connections that its mesh file asks for. The bound holds either way:
 * admission.ts takes no more than fit.
 *
 * A mesh file that leaves the limit at its default asked for no number, so what fits is as good; it
 * must only be enough that one client cannot take it all.
 */
import { DEFAULT_LIMITS_PART, type LimitsPart } from '../mesh/limits.ts';
import { openFilesMax } from '../runtime/open-files.ts';
import type { Log } from '../runtime/log.ts';
import { connectionsWithin, filesFor } from './limits.ts';

/** `listeners`: how many the proxy has. Writes at most one line. */
export function warnOfOpenFiles(
  limits: LimitsPart,
  listeners: number,
  log: Log,
  filesMax = openFilesMax(),
): void {
  const { connections_per_listener: perListener, connections_per_client: perClient } = limits;
  const isDefault = perListener === DEFAULT_LIMITS_PART.connections_per_listener;
  const wanted = isDefault ? perClient : perListener * listeners;
  const connections = connectionsWithin(filesMax);
  if (connections >= wanted) return;
  log.warn(
    isDefault
      ? 'one client could take every connection: the limit of open files is too low'
      : 'fewer client connections than configured: the limit of open files is too low',
    {
      connections,
      wanted,
      open_files: filesMax,
      advice:
        `raise \`ulimit -n\` (systemd: LimitNOFILE) to ${filesFor(wanted)}, or lower ` +
        `limits.${isDefault ? 'connections_per_client' : 'connections_per_listener'} in the mesh file`,
    },
  );
}
