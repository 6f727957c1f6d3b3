/**
 * `azimuth lint`: what in a valid mesh file contradicts itself or is done twice between gateway and
 * sidecars. Opens nothing; the rules are in mesh/lint/.
 */
import { parseArgs } from 'node:util';
import { lintMesh } from '../../mesh/lint/lint.ts';
import { readMesh } from '../../mesh/load.ts';
import { AzimuthError, ERRORS } from '../../runtime/errors.ts';
import type { Command } from '../command.ts';
import { findingsText } from '../lint-text.ts';
import { meshPath } from '../mesh-option.ts';

/** Findings are no fault: the file is valid and runs. */
const FOUND = 1;

export const command: Command = {
  help: `
Usage: azimuth lint [FILE] [--mesh FILE] [--json]

Looks at the boundary between gateway and mesh: retries that multiply, an outer timeout shorter than
an inner one, tokens, limits or CORS twice on one path, TLS ended twice, functions on the wrong side.
Each finding has its rule, all places with their lines, what follows in numbers, and the mend.
docs/LINT.md has the rules with an example each.

  --json   for programs: { file, findings: [{ rule, consequence, mend, places }] }

Exits with 0 when nothing is found, with 1 when something is, with 78 when the file is not valid
(\`azimuth check\` says why as well).

Examples:
  azimuth lint mesh.yaml
  azimuth lint mesh.yaml --json | jq -r '.findings[].rule'
`,
  run(args) {
    const { values, positionals } = parseArgs({
      args: [...args],
      options: { mesh: { type: 'string' }, json: { type: 'boolean', default: false } },
      allowPositionals: true,
    });
    if (positionals.length > 1) throw new AzimuthError('AZ_USAGE', 'lint takes one mesh file');
    const file = meshPath({ mesh: positionals[0] ?? values.mesh });
    const { mesh, faults, source } = readMesh(file);
    if (mesh === undefined) {
      process.stderr.write(`${faults.join('\n')}\n\n${file} is not valid, so it is not linted\n`);
      return Promise.resolve(ERRORS.AZ_CONFIG_INVALID.exitCode);
    }
    for (const warning of mesh.warnings) process.stderr.write(`warning: ${warning}\n`);
    const findings = lintMesh(mesh, source);
    process.stdout.write(
      values.json
        ? JSON.stringify({ file, findings }, null, 2) + '\n'
        : findingsText(file, findings),
    );
    return Promise.resolve(findings.length === 0 ? 0 : FOUND);
  },
};
