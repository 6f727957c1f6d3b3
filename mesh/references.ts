/**
 * Checks of a mesh file that concern several values: names, ports, references, routes. They read
 * the raw values, tolerantly, so that they all run even when config.ts found faults too: one run
 * names everything. A value of the wrong type is passed over here, since config.ts reports it.
 */
import { DEFAULT_PORTS } from '../runtime/ports.ts';
import { FILE_FORMAT } from './config.ts';
import { functionFaults } from './function-faults.ts';
import { identityFaults } from './identity-references.ts';
import { limitContradictions } from './limits.ts';
import { group, isRaw, list, strings, text, type Item } from './raw.ts';
import { compareRoutes, coversRequests, type FieldMatch, type RouteMatch } from './route-order.ts';
import { parseTemplate } from './route-template.ts';
import { servingFaults, topologyFaults, unknownName } from './serving.ts';
import { pathText, type Fault, type Path, type Source } from './source.ts';

/** Every fault that only shows when several values are looked at together. */
export function referenceFaults(source: Source): Fault[] {
  const top: Item = { raw: isRaw(source.raw) ? source.raw : {}, path: [] };
  return [
    ...formatFaults(top, source),
    ...nameFaults(top, source),
    ...servingFaults(top, source),
    ...topologyFaults(top, source),
    ...routeFaults(top, source),
    ...mirrorFaults(top, source),
    ...functionFaults(top, source),
    ...hostFaults(top, source),
    ...portFaults(top, source),
    ...limitFaults(top, source),
    ...identityFaults(top, source),
  ];
}

/** What works, yet deserves a look. */
export function formatWarnings(source: Source): Fault[] {
  const top: Item = { raw: isRaw(source.raw) ? source.raw : {}, path: [] };
  const warnings: Fault[] = [];
  const [major, minor] = (text(top, 'file_format') ?? '').split('.').map(Number);
  if (major === FILE_FORMAT.major && minor !== undefined && minor > FILE_FORMAT.minor) {
    const known = `${FILE_FORMAT.major}.${FILE_FORMAT.minor}`;
    warnings.push(
      source.fault(
        ['file_format'],
        `is newer than ${known}, which this version knows (what is new in it is not understood)`,
      ),
    );
  }
  return warnings;
}

function formatFaults(top: Item, source: Source): Fault[] {
  const format = text(top, 'file_format');
  const major = /^([0-9]+)\.[0-9]+$/.exec(format ?? '')?.[1];
  if (major === undefined || Number(major) === FILE_FORMAT.major) return [];
  const known = `${FILE_FORMAT.major}.${FILE_FORMAT.minor}`;
  return [
    source.fault(['file_format'], `"${format}" is of another major version (write "${known}")`),
  ];
}

/** Names that share one room must differ. Each room: what its names are used as. */
function nameFaults(top: Item, source: Source): Fault[] {
  const rooms: [string, string[]][] = [
    ['they name services on spans and as Host', ['gateways', 'workloads', 'externals']],
    ['they name processes in --name', ['gateways', 'sidecars']],
  ];
  const faults: Fault[] = [];
  const reported = new Set<string>();
  for (const [why, keys] of rooms) {
    const first = new Map<string, Path>();
    for (const item of keys.flatMap((key) => list(top, key))) {
      const name = text(item, 'name');
      if (name === undefined) continue;
      const earlier = first.get(name);
      const path = [...item.path, 'name'];
      if (earlier === undefined) {
        first.set(name, item.path);
      } else if (!reported.has(pathText(path))) {
        reported.add(pathText(path));
        faults.push(
          source.fault(path, `"${name}" names ${pathText(earlier)} already (rename one: ${why})`),
        );
      }
    }
  }
  return faults;
}

function routeFaults(top: Item, source: Source): Fault[] {
  const faults: Fault[] = [];
  const targets = ['workloads', 'externals'].flatMap((key) =>
    list(top, key).map((item) => text(item, 'name')),
  );
  for (const gateway of list(top, 'gateways')) {
    const routes = list(gateway, 'routes');
    for (const route of routes) faults.push(...targetFaults(top, gateway, route, targets, source));
    faults.push(...shadowFaults(routes, source));
  }
  for (const workload of list(top, 'workloads')) {
    faults.push(...shadowFaults(list(workload, 'routes'), source));
  }
  for (const served of list(top, 'sidecars').flatMap((sidecar) => list(sidecar, 'serves'))) {
    faults.push(...shadowFaults(list(group(served, 'ingress'), 'routes'), source));
  }
  return faults;
}

/** Each target of a route is there; several only where the gateway itself calls them. */
function targetFaults(
  top: Item,
  gateway: Item,
  route: Item,
  targets: readonly (string | undefined)[],
  source: Source,
): Fault[] {
  const several = list(route, 'to');
  const named = several.map((item) => ({
    to: text(item, 'service'),
    path: [...item.path, 'service'],
  }));
  const to = text(route, 'to');
  if (to !== undefined) named.push({ to, path: [...route.path, 'to'] });
  const faults = named.flatMap((one) =>
    one.to === undefined || targets.includes(one.to)
      ? []
      : [source.fault(one.path, unknownName('workload or external', one.to, targets))],
  );
  const sidecar = list(top, 'sidecars').find((item) =>
    list(item, 'serves').some((served) => text(served, 'gateway') === text(gateway, 'name')),
  );
  if (several.length > 1 && sidecar !== undefined) {
    faults.push(
      source.fault(
        [...route.path, 'to'],
        `shares requests out, but ${pathText(sidecar.path)} calls for this gateway and could ` +
          'choose otherwise (name one target, or let the gateway call by itself)',
      ),
    );
  }
  return faults;
}

/** Targets of copies that nobody is. */
function mirrorFaults(top: Item, source: Source): Fault[] {
  const targets = ['workloads', 'externals'].flatMap((key) =>
    list(top, key).map((item) => text(item, 'name')),
  );
  const served = list(top, 'sidecars').flatMap((sidecar) => list(sidecar, 'serves'));
  const routes = [
    ...list(top, 'gateways').flatMap((gateway) => list(gateway, 'routes')),
    ...served.flatMap((one) => list(group(one, 'ingress'), 'routes')),
    ...list(top, 'workloads').flatMap((workload) => list(workload, 'routes')),
    ...list(top, 'externals'),
  ];
  return routes.flatMap((route) => {
    const mirror = group(route, 'mirror');
    const to = text(mirror, 'to');
    if (to === undefined || to === '' || targets.includes(to)) return [];
    return [source.fault([...mirror.path, 'to'], unknownName('workload or external', to, targets))];
  });
}

/** A route that another one takes precedence over and covers whole can never match. */
function shadowFaults(routes: readonly Item[], source: Source): Fault[] {
  const read = routes.flatMap((route) => {
    const template = text(route, 'path') ?? '';
    const parsed = parseTemplate(template);
    if (!parsed.ok) return [];
    const match: RouteMatch = {
      segments: parsed.segments,
      hosts: strings(route.raw['hosts']),
      methods: strings(route.raw['methods']),
      headers: fieldMatches(route, 'headers'),
      query: fieldMatches(route, 'query'),
    };
    return [{ route, template, match }];
  });
  return read.flatMap((later, index) => {
    const earlier = read.slice(0, index).find((e) => takesAllOf(e.match, later.match));
    if (earlier === undefined) return [];
    return [
      source.fault(
        [...later.route.path, 'path'],
        `"${later.template}" can never match: "${earlier.template}" at ` +
          `${pathText(earlier.route.path)} takes all of it first (remove one, or make this one more special)`,
      ),
    ];
  });
}

const fieldMatches = (route: Item, key: string): FieldMatch[] =>
  list(route, key).map((item) => ({
    name: text(item, 'name') ?? '',
    value: text(item, 'value') ?? '',
  }));

/** True when every request that `b` takes goes to `a`, which stands before it in the file. */
function takesAllOf(a: RouteMatch, b: RouteMatch): boolean {
  const hosts = b.hosts.length === 0 ? [''] : b.hosts;
  return coversRequests(a, b) && hosts.every((host) => compareRoutes(a, b, host) <= 0);
}

/** A Host leads to one place: workload names and hosts of externals. */
function hostFaults(top: Item, source: Source): Fault[] {
  const faults: Fault[] = [];
  const taken = new Map<string, Path>();
  for (const item of list(top, 'workloads')) {
    const name = text(item, 'name');
    if (name !== undefined && !taken.has(name)) taken.set(name, item.path);
  }
  for (const item of list(top, 'externals')) {
    for (const [index, host] of strings(item.raw['hosts']).entries()) {
      const earlier = taken.get(host);
      if (earlier === undefined) taken.set(host, item.path);
      else {
        faults.push(
          source.fault(
            [...item.path, 'hosts', index],
            `Host "${host}" leads to ${pathText(earlier)} already (remove one)`,
          ),
        );
      }
    }
  }
  return faults;
}

/** Limits that contradict each other; those left out count as their defaults. */
function limitFaults(top: Item, source: Source): Fault[] {
  const limits = group(top, 'limits');
  return limitContradictions(limits.raw).map(({ at, message }) =>
    source.fault([...limits.path, at], message),
  );
}

/** Hosts that mean this machine, as one. */
const sameHost = (host: string): string =>
  /^(localhost|127\.0\.0\.1|::1|\[::1\])$/.test(host) ? 'localhost' : host.toLowerCase();

const isWildcard = (host: string): boolean => /^(0\.0\.0\.0|::|\[::\])$/.test(host);

/** Two sockets of one machine cannot listen at one address. */
function portFaults(top: Item, source: Source): Fault[] {
  const faults: Fault[] = [];
  const taken = new Map<string, Path>();
  const claim = (machine: string, host: unknown, port: unknown, path: Path, place: Path): void => {
    if (typeof port !== 'number' || typeof host !== 'string') return;
    // A wildcard takes the port on every address of its machine; without a `machine` that one is
    // not known (containers), so wildcards are compared among themselves within one owner only.
    const owner = isWildcard(host) && machine === '' ? pathText(path.slice(0, 2)) : machine;
    const key = `${owner} ${isWildcard(host) ? '*' : sameHost(host)}:${port}`;
    const earlier = taken.get(key);
    if (earlier === undefined) taken.set(key, path);
    else {
      faults.push(
        source.fault(
          place,
          `${host}:${port} is taken by ${pathText(earlier)} already (give one another port)`,
        ),
      );
    }
  };
  const listener = (machine: string, parent: Item, key: string, defaultPort: number): void => {
    const item = group(parent, key);
    const port = item.raw['port'] ?? defaultPort;
    const place = item.raw['port'] === undefined ? item.path : [...item.path, 'port'];
    claim(machine, item.raw['host'] ?? '127.0.0.1', port, item.path, place);
  };
  const address = (machine: string, item: Item): void => {
    const match = /^(.*):([0-9]+)$/.exec(text(item, 'address') ?? '');
    const path = [...item.path, 'address'];
    if (match !== null) claim(machine, match[1], Number(match[2]), path, path);
  };
  const url = text(group(top, 'store'), 'url');
  if (url !== undefined && URL.canParse(url)) {
    const { hostname, port, protocol } = new URL(url);
    const number = port === '' ? (protocol === 'https:' ? 443 : 80) : Number(port);
    claim('', hostname, number, ['store', 'url'], ['store', 'url']);
  } else if (url === undefined) {
    claim('', '127.0.0.1', DEFAULT_PORTS.store, ['store', 'url'], ['store']);
  }
  const collector = group(top, 'collector');
  listener('', collector, 'otlp_http', DEFAULT_PORTS.otlpHttp);
  listener('', collector, 'otlp_grpc', DEFAULT_PORTS.otlpGrpc);
  listener('', collector, 'admin', DEFAULT_PORTS.collectorAdmin);
  listener('', top, 'analytics', DEFAULT_PORTS.analytics);
  for (const gateway of list(top, 'gateways')) {
    const machine = text(gateway, 'machine') ?? '';
    listener(machine, gateway, 'listen', DEFAULT_PORTS.gateway);
    listener(machine, gateway, 'admin', DEFAULT_PORTS.admin);
  }
  const machineOf = new Map<string, string>();
  for (const sidecar of list(top, 'sidecars')) {
    const machine = text(sidecar, 'machine') ?? '';
    for (const served of list(sidecar, 'serves')) {
      machineOf.set(text(served, 'workload') ?? '', machine);
      if ('ingress' in served.raw) listener(machine, served, 'ingress', DEFAULT_PORTS.gateway);
      if (!('gateway' in served.raw)) listener(machine, served, 'inbound', DEFAULT_PORTS.inbound);
      listener(machine, served, 'outbound', DEFAULT_PORTS.outbound);
    }
    listener(machine, sidecar, 'admin', DEFAULT_PORTS.admin);
  }
  for (const workload of list(top, 'workloads')) {
    address(machineOf.get(text(workload, 'name') ?? '') ?? '', workload);
  }
  return faults;
}
