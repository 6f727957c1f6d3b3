/** Mesh files for `azimuth lint` without the lines that all have, so that line 1 is the example's own. */
import assert from 'node:assert/strict';
import { parse } from 'yaml';
import { lintMesh, type LintFinding } from '../../mesh/lint/lint.ts';
import { validateMesh } from '../../mesh/load.ts';

/** Adds the head, and a sidecar for each workload where the example has none. */
export function lintText(example: string): LintFinding[] {
  const { workloads = [], sidecars } = parse(example) as {
    workloads?: { name: string }[];
    sidecars?: unknown;
  };
  const serves = workloads.map(
    ({ name }, index) =>
      `  - { name: ${name}-sidecar, admin: { port: ${16_000 + index} }, serves: [{ workload: ${name}, ` +
      `inbound: { port: ${16_100 + index} }, outbound: { port: ${16_200 + index} } }] }\n`,
  );
  const tail =
    (sidecars === undefined ? `sidecars:\n${serves.join('')}` : '') +
    'file_format: "1.0"\nmesh: test\nstore: { password: "${env:PASSWORD}" }\n';
  const { mesh, faults, source } = validateMesh('mesh.yaml', example + tail, () => 'password', '');
  assert.deepEqual(faults, []);
  return lintMesh(mesh!, source);
}
