/**
 * Which mesh file a command means, the same for all commands: `--mesh FILE`, else $AZIMUTH_MESH,
 * else ./mesh.yaml, else that of a demo in this folder. Prints warnings on stderr; loads nothing
 * twice and opens no socket.
 */
import { existsSync } from 'node:fs';
import { AzimuthError } from '../runtime/errors.ts';
import { loadMesh, type Mesh } from '../mesh/load.ts';

/** Where `npm run demo` writes the mesh file that it runs by. */
const DEMO_MESH = '.azimuth/demo/mesh.yaml';

/** Path of the mesh file that is meant. Throws AZ_CONFIG_NOT_FOUND with advice. */
export function meshPath(values: { readonly mesh?: string | undefined }): string {
  const named = values.mesh ?? process.env['AZIMUTH_MESH'];
  if (named !== undefined && named !== '') return named;
  const found = ['mesh.yaml', DEMO_MESH].find((path) => existsSync(path));
  if (found !== undefined) return found;
  throw new AzimuthError(
    'AZ_CONFIG_NOT_FOUND',
    'no mesh file: name one with --mesh FILE or $AZIMUTH_MESH, or run in a folder with a ' +
      'mesh.yaml or where `npm run demo` ran',
  );
}

/** Loads the mesh file that is meant. Throws AZ_CONFIG_NOT_FOUND or AZ_CONFIG_INVALID. */
export function meshFromArgs(values: { readonly mesh?: string | undefined }): Mesh {
  const mesh = loadMesh(meshPath(values));
  for (const warning of mesh.warnings) process.stderr.write(`warning: ${warning}\n`);
  return mesh;
}
