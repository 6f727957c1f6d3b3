/**
 * Checks of a mesh file that concern identities: what stands in an id, and who may be named in an
 * allow-list. A list that nobody could be held to must not look like protection.
 */
import { NAMESPACE_IN_ID } from './identity.ts';
import { group, list, strings, text, type Item } from './raw.ts';
import { unknownName } from './serving.ts';
import type { Fault, Source } from './source.ts';

export function identityFaults(top: Item, source: Source): Fault[] {
  const faults: Fault[] = [];
  const isOn = 'identity' in top.raw && text(group(top, 'identity'), 'mode') !== 'off';
  const owners = ['gateways', 'workloads'].flatMap((key) => list(top, key));
  const names = owners.map((item) => text(item, 'name'));
  for (const item of isOn ? owners : []) {
    if (NAMESPACE_IN_ID.test(text(item, 'namespace') ?? '')) continue;
    faults.push(
      source.fault(
        [...item.path, 'namespace'],
        'cannot stand in a SPIFFE id (letters, digits, ".", "-" and "_" only)',
      ),
    );
  }
  const provesCallers = isOn && text(group(top, 'identity'), 'mode') !== 'accept';
  for (const workload of list(top, 'workloads')) {
    for (const item of [workload, ...list(workload, 'routes')]) {
      if (!('allow' in item.raw)) continue;
      if (!provesCallers) {
        faults.push(
          source.fault(
            [...item.path, 'allow'],
            'needs callers that prove who they are (add identity, with mode permissive or strict)',
          ),
        );
      }
      for (const [index, caller] of strings(item.raw['allow']).entries()) {
        // What is no name at all is a fault of its own.
        if (names.includes(caller) || !/^[a-z0-9-]+$/.test(caller)) continue;
        const path = [...item.path, 'allow', index];
        faults.push(source.fault(path, unknownName('workload or gateway', caller, names)));
      }
    }
  }
  return faults;
}
