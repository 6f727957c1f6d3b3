/**
 * Functions as a mesh file gives them to a proxy: what a test writes, with every default filled in, by
 * the schema itself.
 */
import { functionsPart, routeFunctions, type FunctionsPart } from '../../mesh/functions.ts';

/** `written`: the group `functions:` of a route. Throws where the schema refuses it. */
export function functionsOf(written: unknown): FunctionsPart {
  const scopes = { listener: 'listener', route: 'route' };
  const part = functionsPart(undefined, routeFunctions.parse(written), scopes, (path) => path);
  if (part === undefined) throw new Error('no function was written');
  return part;
}
