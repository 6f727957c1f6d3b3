/** Findings of `azimuth lint` for people: the rule, every place with its line, what follows, the mend. */
import type { LintFinding } from '../mesh/lint/lint.ts';

/** Ends with the count, or says that there is nothing. */
export function findingsText(file: string, findings: readonly LintFinding[]): string {
  if (findings.length === 0) return `${file}: nothing found\n`;
  const blocks = findings.map(({ rule, consequence, mend, places }) =>
    [
      rule,
      ...places.map(
        ({ path, line, column, says }) =>
          `  ${file}:${line}:${column} ${path === '' ? '' : `${path}: `}${says}`,
      ),
      `  so: ${consequence}`,
      `  mend: ${mend}`,
      '',
    ].join('\n'),
  );
  const count = findings.length === 1 ? '1 finding' : `${findings.length} findings`;
  return `${blocks.join('\n')}\n${file}: ${count}\n`;
}
