/**
 * The whole fault matrix: `npm run test:full`, or one line of it by mocha's `-g`:
 *
 *   mocha test/full/faults.full.ts -g 'over OTLP sidecar killed'
 *
 * Each outcome replaces its line in bench/results/faults.md; lines stand there in the matrix's order,
 * and none of a scenario that is no more. $AZIMUTH_FAULT_TIMES caps how often each harm is done, for a
 * quick look.
 */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { dirname } from 'node:path';
import { fileURLToPath } from 'node:url';
import { MATRIX } from '../faults/matrix.ts';
import { runMatrix, type Result } from '../faults/runner.ts';

const TABLE = fileURLToPath(new URL('../../bench/results/faults.md', import.meta.url));
const HEAD = `# Fault matrix: measured

Written by \`npm run test:full\` (test/full/faults.full.ts; the scenarios stand in test/faults/matrix.ts).
Each line is one run: a gateway, a sidecar, an application, a collector and a store as processes, some 200 requests a
second at most, and the harm done so often. *Missing*: hops of answered requests that are not stored, in brackets how
many of them the reports explain (a killed proxy's bounds, counted drops, dead letters). *Twice*: hops that a figure
counts more than once; *doubled*: rows stored again after a retry, which figures see through. *Errors*: requests that
failed although nothing they need was taken away; *in outage*: while a killed proxy was away.
One line again: \`npx mocha test/full/faults.full.ts -g 'over OTLP sidecar killed'\`.

| scenario | over | times | requests | missing (explained) | twice | errors | in outage | doubled | dropped | peak MB gateway / sidecar / collector | s | verdict | when, where |
|---|---|---:|---:|---:|---:|---:|---:|---:|---|---|---:|---|---|
`;
const timesMax = Number(process.env['AZIMUTH_FAULT_TIMES'] ?? Infinity);

describe('Fault matrix, whole', () => {
  runMatrix(MATRIX, 'full', writeLine, timesMax);
});

function writeLine(result: Result): void {
  const lines = new Map(linesOf(TABLE).map((line) => [keyOf(line), line]));
  const line = lineOf(result);
  lines.set(keyOf(line), line);
  const text = MATRIX.flatMap(({ name }) =>
    [...lines.values()].filter((one) => scenarioOf(one) === name).sort(),
  );
  mkdirSync(dirname(TABLE), { recursive: true });
  writeFileSync(TABLE, HEAD + text.map((one) => `${one}\n`).join(''));
}

/** The results that stand in the file. */
function linesOf(file: string): string[] {
  try {
    const lines = readFileSync(file, 'utf8').split('\n');
    return lines.slice(lines.findIndex((line) => line.startsWith('|---')) + 1).filter(Boolean);
  } catch {
    return [];
  }
}

const scenarioOf = (line: string): string => line.split('|')[1]!.trim();
const keyOf = (line: string): string => line.split('|').slice(1, 3).join('|');

function lineOf(result: Result): string {
  const { gateway = '?', sidecar = '?', collector = '?' } = result.peakMb;
  const dropped = Object.entries(result.dropped).map(([reason, hops]) => `${hops} ${reason}`);
  const cells = [
    result.scenario,
    result.over,
    result.times,
    result.accepted,
    result.missing === 0 ? 0 : `${result.missing} (${result.explained})`,
    result.countedTwice,
    result.proxyErrors,
    result.failedInOutage,
    result.rowsDoubled,
    dropped.join(', ') || 0,
    `${gateway} / ${sidecar} / ${collector}`,
    result.seconds,
    result.faults.length === 0 ? 'holds' : result.faults.join('; ').replaceAll(/[|\n]+/g, ' '),
    `${new Date().toISOString().slice(0, 10)}, ${cpus().length} cores, Node ${process.versions.node}`,
  ];
  return `| ${cells.join(' | ')} |`;
}
