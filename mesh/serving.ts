/**
 * Checks of whom the sidecars serve: each workload has one sidecar, a gateway may have one, and all
 * of it is what `topology` says. The topology stands on every record, so a file that contradicts it
 * would make comparisons between topologies wrong without a sign.
 */
import { TOPOLOGIES } from './config.ts';
import { group, list, text, type Item } from './raw.ts';
import { pathText, type Fault, type Path, type Source } from './source.ts';

export const unknownName = (
  kind: string,
  name: string,
  known: readonly (string | undefined)[],
): string => {
  const names = [...new Set(known.filter((n) => n !== undefined && n !== ''))].join(', ');
  return `there is no ${kind} "${name}" (${names === '' ? 'none is declared' : `there are: ${names}`})`;
};

/** Everything that some sidecar serves, in the order of the file. */
const allServed = (top: Item): Item[] =>
  list(top, 'sidecars').flatMap((sidecar) => list(sidecar, 'serves'));

/** Each entry names one workload or gateway that is there, and nobody is served twice. */
export function servingFaults(top: Item, source: Source): Fault[] {
  const faults: Fault[] = [];
  const servedAt = new Map<string, Path>();
  for (const served of allServed(top)) {
    const kinds = (['workload', 'gateway'] as const).filter((kind) => kind in served.raw);
    if (kinds.length !== 1) {
      const what = kinds.length === 0 ? 'serves nobody' : 'names both workload and gateway';
      faults.push(source.fault(served.path, `${what} (write one of workload and gateway)`));
      continue;
    }
    const [kind] = kinds as ['workload' | 'gateway'];
    const name = text(served, kind);
    if (name === undefined) continue;
    const path = [...served.path, kind];
    const names = list(top, `${kind}s`).map((item) => text(item, 'name'));
    const earlier = servedAt.get(`${kind} ${name}`);
    if (!names.includes(name)) faults.push(source.fault(path, unknownName(kind, name, names)));
    else if (earlier === undefined) servedAt.set(`${kind} ${name}`, served.path);
    else {
      faults.push(
        source.fault(path, `"${name}" is served by ${pathText(earlier)} already (remove one)`),
      );
    }
    faults.push(...listenerFaults(top, served, kind, name, source));
  }
  for (const item of list(top, 'workloads')) {
    const name = text(item, 'name');
    if (name !== undefined && !servedAt.has(`workload ${name}`)) {
      faults.push(
        source.fault(
          [...item.path, 'name'],
          `"${name}" has no sidecar (add it to a sidecar's serves, or make it an external)`,
        ),
      );
    }
  }
  return faults;
}

/** Which listeners an entry may have. */
function listenerFaults(
  top: Item,
  served: Item,
  kind: 'workload' | 'gateway',
  name: string,
  source: Source,
): Fault[] {
  if (kind === 'gateway') {
    return ['inbound', 'ingress']
      .filter((key) => key in served.raw)
      .map((key) =>
        source.fault(
          [...served.path, key],
          'is not for a gateway, which is called from outside only (remove it)',
        ),
      );
  }
  const workload = list(top, 'workloads').find((item) => text(item, 'name') === name);
  if (!('ingress' in served.raw) || workload === undefined || text(workload, 'kind') === 'bff') {
    return [];
  }
  return [
    source.fault(
      [...served.path, 'ingress'],
      `"${name}" is no BFF, and only a BFF is called from outside (write kind: bff at ` +
        `${pathText(workload.path)}, or route a gateway to it)`,
    ),
  ];
}

/** The file must have the topology that it names. */
export function topologyFaults(top: Item, source: Source): Fault[] {
  const topology = text(top, 'topology') ?? TOPOLOGIES[0];
  const gateways = list(top, 'gateways');
  const ingresses = allServed(top).filter((served) => 'ingress' in served.raw);
  if (topology === 'merged') {
    const faults = gateways.map((gateway) =>
      source.fault(
        gateway.path,
        'is a gateway, and "merged" has none: the sidecars of BFFs do its work (move its routes ' +
          "to a BFF's ingress, or name another topology)",
      ),
    );
    if (ingresses.length > 0) return faults;
    const nobody =
      'is "merged", and no BFF has an ingress (give one to a sidecar that serves a BFF)';
    return [...faults, source.fault(['topology'], nobody)];
  }
  const merged = ingresses.map((served) =>
    source.fault(
      group(served, 'ingress').path,
      `makes the sidecar a gateway, and the topology is "${topology}" (write topology: merged)`,
    ),
  );
  return [...merged, ...gateways.flatMap((gateway) => placeFaults(top, gateway, topology, source))];
}

/** Where a gateway stands: alone, beside a sidecar of its own, or beside a BFF at one sidecar. */
function placeFaults(top: Item, gateway: Item, topology: string, source: Source): Fault[] {
  const name = text(gateway, 'name');
  if (name === undefined) return [];
  const sidecar = list(top, 'sidecars').find((item) =>
    list(item, 'serves').some((served) => text(served, 'gateway') === name),
  );
  const found =
    sidecar === undefined ? 'separate' : servesBff(top, sidecar) ? 'shared' : 'attached';
  if (topology === found || !(TOPOLOGIES as readonly string[]).includes(topology)) return [];
  const as = {
    separate: 'has no sidecar',
    attached: 'has a sidecar that serves no BFF',
    shared: 'has one sidecar with a BFF',
  }[found];
  return [
    source.fault(
      [...gateway.path, 'name'],
      `"${name}" ${as}, and the topology is "${topology}" (write topology: ${found}, or change ` +
        `${sidecar === undefined ? "a sidecar's serves" : pathText([...sidecar.path, 'serves'])})`,
    ),
  ];
}

function servesBff(top: Item, sidecar: Item): boolean {
  const bffs = list(top, 'workloads')
    .filter((item) => text(item, 'kind') === 'bff')
    .map((item) => text(item, 'name'));
  return list(sidecar, 'serves').some((served) => {
    const name = text(served, 'workload');
    return name !== undefined && bffs.includes(name);
  });
}
