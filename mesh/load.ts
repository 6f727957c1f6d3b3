/**
 * Mesh file → Mesh, or every fault of every kind in one go, each with its place and what to do.
 * Where it sits: bin/mesh-option.ts calls it before any socket opens; parts.ts takes what one
 * process needs. Never prints, never shows a password.
 */
import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { parseEnv } from 'node:util';
import { AzimuthError, messageOf } from '../runtime/errors.ts';
import { meshJsonSchema, parseMeshConfig, REDACTED, SECRETS, type MeshConfig } from './config.ts';
import { passedByFaults } from './passed-by.ts';
import { formatWarnings, referenceFaults } from './references.ts';
import { NOT_YAML, readSource, type Fault, type Path, type Source } from './source.ts';

/** A valid mesh file. */
export interface Mesh {
  /** As it was given. */
  readonly file: string;
  readonly config: MeshConfig;
  /** Lines for people: the file works, yet something in it deserves a look. */
  readonly warnings: readonly string[];
}

/** What reading a mesh file gave: a mesh when there are no faults. */
export interface MeshReading {
  readonly mesh: Mesh | undefined;
  /** `file:line:column path: what (what to do)`, in the order of the file; no YAML first. */
  readonly faults: readonly string[];
  /** Where things stand in the file. */
  readonly source: Source;
}

/** Environment variables by name. */
export type Environment = Readonly<Record<string, string | undefined>>;

/**
 * Reads and validates a mesh file.
 * Throws AZ_CONFIG_INVALID listing every fault, AZ_CONFIG_NOT_FOUND when the file cannot be read.
 */
export function loadMesh(file: string, env: Environment = process.env): Mesh {
  const { mesh, faults } = readMesh(file, env);
  if (mesh !== undefined) return mesh;
  const count = faults.length === 1 ? 'one fault' : `${faults.length} faults`;
  throw new AzimuthError('AZ_CONFIG_INVALID', `${file} has ${count}:\n${faults.join('\n')}`);
}

/** Like loadMesh, but hands faults back. Throws AZ_CONFIG_NOT_FOUND when the file cannot be read. */
export function readMesh(file: string, env: Environment = process.env): MeshReading {
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (error) {
    throw new AzimuthError(
      'AZ_CONFIG_NOT_FOUND',
      `the mesh file ${file} cannot be read: ${messageOf(error)}; name one with --mesh FILE`,
      { cause: error },
    );
  }
  const envFile = join(dirname(file), '.env');
  const dotEnv = readDotEnv(envFile);
  return validateMesh(
    file,
    text,
    (name) => env[name] ?? dotEnv[name],
    `export it, or put NAME=… in ${envFile}`,
  );
}

/** The same over text in hand. `whereToSet` tells where to set a variable called NAME. */
export function validateMesh(
  file: string,
  text: string,
  lookup: (name: string) => string | undefined,
  whereToSet: string,
): MeshReading {
  const source = readSource(text, lookup, whereToSet);
  const faults: Fault[] = [...source.faults];
  if (typeof source.raw !== 'object' || source.raw === null || Array.isArray(source.raw)) {
    if (faults.length === 0) {
      faults.push(source.fault([], 'holds no mesh (start with file_format: "1.0" and mesh: NAME)'));
    }
    return { mesh: undefined, faults: show(file, faults), source };
  }
  const parsed = parseTyped(source);
  for (const issue of parsed.error?.issues ?? []) faults.push(...translate(issue, source));
  faults.push(...referenceFaults(source), ...writtenSecrets(source));
  if (parsed.data === undefined || faults.length > 0) {
    return { mesh: undefined, faults: show(file, faults), source };
  }
  const passedBy = passedByFaults(parsed.data, source);
  if (passedBy.length > 0) return { mesh: undefined, faults: show(file, passedBy), source };
  return {
    mesh: { file, config: parsed.data, warnings: show(file, formatWarnings(source)) },
    faults: [],
    source,
  };
}

/** Secrets that stand in the file itself, where version control and backups would keep them. */
function writtenSecrets(source: Source): Fault[] {
  return SECRETS.filter((path) => {
    const value = valueAt(source.raw, path);
    return typeof value === 'string' && value !== '' && !source.fromEnvironment(path);
  })
    .filter((path) => !source.failed(path))
    .map((path) =>
      source.fault(
        path,
        'is a secret that is written out (write "${env:NAME}" and put NAME=… in the environment or in .env)',
      ),
    );
}

/** Parses; a text from the environment first takes the type that its place asks for. */
function parseTyped(source: Source): ReturnType<typeof parseMeshConfig> {
  const parsed = parseMeshConfig(source.raw);
  let changed = false;
  for (const issue of parsed.error?.issues ?? []) {
    if (issue.code !== 'invalid_type' || !source.fromEnvironment(issue.path)) continue;
    const key = issue.path.at(-1);
    const parent = valueAt(source.raw, issue.path.slice(0, -1)) as Record<PropertyKey, unknown>;
    const value = key === undefined ? undefined : typed(parent[key], issue.expected);
    if (key === undefined || value === undefined) continue;
    parent[key] = value;
    changed = true;
  }
  return changed ? parseMeshConfig(source.raw) : parsed;
}

function typed(value: unknown, expected: string): number | boolean | undefined {
  if (typeof value !== 'string') return undefined;
  if (expected === 'boolean')
    return value === 'true' ? true : value === 'false' ? false : undefined;
  const whole = (expected === 'number' || expected === 'int') && /^-?[0-9]{1,15}$/.test(value);
  return whole ? Number(value) : undefined;
}

function show(file: string, faults: readonly Fault[]): string[] {
  const isYaml = ({ message }: Fault): number => (message.startsWith(NOT_YAML) ? 0 : 1);
  const sorted = [...faults].sort(
    (a, b) => isYaml(a) - isYaml(b) || a.line - b.line || a.column - b.column,
  );
  const lines = sorted.map(
    ({ line, column, path, message }) =>
      `${file}:${line}:${column} ${path === '' ? '' : `${path}: `}${message}`,
  );
  return [...new Set(lines)];
}

function readDotEnv(file: string): Environment {
  try {
    return parseEnv(readFileSync(file, 'utf8'));
  } catch {
    // There need not be one; a variable that it would have set is reported as not set.
    return {};
  }
}

type Issue = NonNullable<ReturnType<typeof parseMeshConfig>['error']>['issues'][number];

/** zod's issue in our words. Messages of config.ts are complete already. */
function translate(issue: Issue, source: Source): Fault[] {
  const path: Path = issue.path;
  if (source.failed(path)) return [];
  if (issue.code === 'invalid_union') {
    // The form that the value is of: the one that finds fault within it, not with its kind.
    const meant = issue.errors.find((inner) => inner[0]?.code !== 'invalid_type' || inner[0].path.length > 0); // prettier-ignore
    if (meant !== undefined) {
      return meant.flatMap((inner) =>
        translate({ ...inner, path: [...path, ...inner.path] }, source),
      );
    }
    const kinds = issue.errors.flatMap((inner) =>
      inner[0]?.code === 'invalid_type' ? [article(inner[0].expected)] : [],
    );
    const value = valueAt(source.raw, path);
    return [source.fault(path, `is ${kindOf(value)} (write ${kinds.join(', or ')})`)];
  }
  if (issue.code === 'unrecognized_keys') {
    const known = knownKeys(path);
    return issue.keys.map((key) => {
      const near = nearest(key, known);
      const advice = near === undefined ? `known here: ${known.join(', ')}` : `"${near}"?`;
      return source.fault(path, `unknown key (${advice})`, key);
    });
  }
  if (issue.code === 'invalid_key') {
    const key = String(path.at(-1));
    return issue.issues.map(({ message }) => source.fault(path.slice(0, -1), message, key));
  }
  const value = valueAt(source.raw, path);
  if (value === undefined || value === null) {
    return [source.fault(path, `is missing (add it${expectation(issue)})`)];
  }
  if (issue.code === 'invalid_value') {
    const values = issue.values.map(String);
    const near = typeof value === 'string' ? nearest(value, values) : undefined;
    const advice = near === undefined ? `one of: ${values.join(', ')}` : `"${near}"?`;
    return [source.fault(path, `${shown(value, source, path)} is not known (${advice})`)];
  }
  if (issue.code === 'invalid_type') {
    // A message of config.ts begins in lower case; zod's own are capitalised.
    const own = /^[a-z]/.test(issue.message) ? issue.message : undefined;
    const quotes = issue.expected === 'string' && typeof value !== 'object';
    const advice = quotes ? 'put it in quotes' : `write ${article(issue.expected)}`;
    const what = own ?? `is ${kindOf(value)} (${advice})`;
    return [source.fault(path, `${shown(value, source, path)} ${what}`)];
  }
  return [source.fault(path, `${shown(value, source, path)} ${issue.message}`)];
}

function expectation(issue: Issue): string {
  if (issue.code === 'invalid_value') return `: one of ${issue.values.map(String).join(', ')}`;
  return issue.code === 'invalid_type' ? `: ${article(issue.expected)}` : '';
}

const KINDS: Record<string, string> = {
  string: 'a text',
  number: 'a number',
  int: 'a whole number',
  boolean: 'true or false',
  array: 'a list',
  object: 'a group of keys',
};

const article = (kind: string): string => KINDS[kind] ?? kind;

const kindOf = (value: unknown): string =>
  article(Array.isArray(value) ? 'array' : value === null ? 'nothing' : typeof value);

const isSecret = (path: Path): boolean =>
  SECRETS.some((place) => place.length === path.length && place.every((key, i) => key === path[i]));

/** A value as a message may repeat it; never one from the environment, never a secret. */
function shown(value: unknown, source: Source, path: Path): string {
  if (isSecret(path)) return REDACTED;
  if (source.fromEnvironment(path)) return 'the value from the environment';
  if (typeof value === 'object' && value !== null)
    return Array.isArray(value) ? 'the list' : 'this';
  const text = JSON.stringify(value);
  return text.length > 60 ? `${text.slice(0, 57)}…"` : text;
}

function valueAt(raw: unknown, path: Path): unknown {
  let value: unknown = raw;
  for (const step of path) {
    if (typeof value !== 'object' || value === null) return undefined;
    value = (value as Record<PropertyKey, unknown>)[step];
  }
  return value;
}

/** Keys that the schema knows at a path. */
function knownKeys(path: Path): string[] {
  let node = meshJsonSchema() as JsonSchemaNode | undefined;
  for (const step of path) {
    node =
      typeof step === 'number'
        ? (node?.items ?? node?.anyOf?.find(({ items }) => items !== undefined)?.items)
        : node?.properties?.[String(step)];
  }
  return Object.keys(node?.properties ?? {});
}

interface JsonSchemaNode {
  readonly properties?: Readonly<Record<string, JsonSchemaNode>>;
  readonly items?: JsonSchemaNode;
  readonly anyOf?: readonly JsonSchemaNode[];
}

/** The candidate within two edits of `word` (one for short words), for "did you mean". */
function nearest(word: string, candidates: readonly string[]): string | undefined {
  const allowed = word.length < 5 ? 1 : 2;
  let best: { candidate: string; edits: number } | undefined;
  for (const candidate of candidates) {
    const edits = editDistance(word.toLowerCase(), candidate);
    if (edits <= allowed && (best === undefined || edits < best.edits)) best = { candidate, edits };
  }
  return best?.candidate;
}

/** Edits (insert, remove, change, swap neighbours) from `a` to `b`; both are short. */
function editDistance(a: string, b: string): number {
  const rows: number[][] = [Array.from({ length: b.length + 1 }, (_, index) => index)];
  const at = (i: number, j: number): number => rows[i]?.[j] ?? Infinity;
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    rows.push(row);
    for (let j = 1; j <= b.length; j++) {
      const change = a[i - 1] === b[j - 1] ? 0 : 1;
      let edits = Math.min(at(i - 1, j - 1) + change, at(i - 1, j) + 1, at(i, j - 1) + 1);
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]) {
        edits = Math.min(edits, at(i - 2, j - 2) + 1);
      }
      row.push(edits);
    }
  }
  return at(a.length, b.length);
}
