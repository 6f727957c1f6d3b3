/**
 * Text of a mesh file → plain values with their places: the door to the YAML parser. Substitutes
 * `${env:NAME}` and `${NAME:-default}` in scalars (never in keys, never across YAML structure, so a
 * variable's value cannot add keys), and finds line and column of any path afterwards.
 *
 * Knows nothing of what a mesh file means; config.ts and references.ts do.
 */
import {
  isAlias,
  isMap,
  isScalar,
  isSeq,
  LineCounter,
  parseDocument,
  visit,
  type Document,
  type Node,
  type Pair,
} from 'yaml';

/** How the message of a fault of the YAML itself begins: mend it before all others. */
export const NOT_YAML = 'not valid YAML';

/** Keys and indexes from the top of the file. */
export type Path = readonly PropertyKey[];

/** One thing wrong in the file. `message` is complete: what, and in brackets what to do. */
export interface Fault {
  /** From 1. */
  readonly line: number;
  /** From 1. */
  readonly column: number;
  /** Such as `gateways[0].routes[1].path`; '' for the file as a whole. */
  readonly path: string;
  readonly message: string;
}

export interface Source {
  /** Plain values after substitution; what holds a variable is text. */
  readonly raw: unknown;
  /** Faults of the YAML itself and of substitution. */
  readonly faults: readonly Fault[];
  /** A fault at a path: at its value, at its key with `key`, else at the nearest parent. */
  fault(path: Path, message: string, key?: string): Fault;
  /** True where the value came from the environment: such a value is not repeated in messages. */
  fromEnvironment(path: Path): boolean;
  /** True where substitution failed, so that further faults of the same value say nothing new. */
  failed(path: Path): boolean;
}

/** Looks a variable up: undefined when it is not set. */
export type Lookup = (name: string) => string | undefined;

/** Reads YAML text. Never throws for what the text holds. `whereToSet` completes "(set it in …)". */
export function readSource(text: string, lookup: Lookup, whereToSet: string): Source {
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false });
  const faults: Fault[] = [];
  const at = (offset: number, path: string, message: string): Fault => {
    const { line, col } = lines.linePos(offset);
    return { line: Math.max(line, 1), column: Math.max(col, 1), path, message };
  };
  for (const error of document.errors) {
    const message =
      error.code === 'DUPLICATE_KEY'
        ? 'this key stands here twice (remove one)'
        : `${NOT_YAML}: ${error.message} (other faults may follow from it)`;
    faults.push(at(error.pos[0], '', message));
  }
  const replaced = new Set<unknown>();
  const failed = new Set<unknown>();
  visit(document, {
    Scalar(key, node) {
      if (key === 'key' || typeof node.value !== 'string' || !node.value.includes('$')) return;
      const outcome = substitute(node.value, lookup, whereToSet);
      if (outcome.text !== node.value) replaced.add(node);
      for (const message of outcome.faults) {
        failed.add(node);
        faults.push(at(node.range?.[0] ?? 0, pathText(pathOfNode(document, node)), message));
      }
      node.value = outcome.text;
    },
  });
  let raw: unknown;
  try {
    raw = document.toJS({ maxAliasCount: 100 });
  } catch (error) {
    faults.push(at(0, '', `${NOT_YAML}: ${String(error)} (remove the alias)`));
  }
  return {
    raw,
    faults,
    fault(path, message, key) {
      const steps = walk(document, path);
      const parent = steps.node;
      const pair = key === undefined ? steps.pair : findPair(document, parent, key);
      const target =
        key === undefined && steps.complete ? parent : ((pair?.key as Node | null) ?? parent);
      return at(
        target?.range?.[0] ?? 0,
        pathText(key === undefined ? path : [...path, key]),
        message,
      );
    },
    fromEnvironment: (path) => replaced.has(walk(document, path).node),
    failed: (path) => failed.has(walk(document, path).node),
  };
}

/** `gateways[0].routes[1].path`. */
export function pathText(path: Path): string {
  return path
    .map((step) => (typeof step === 'number' ? `[${step}]` : `.${String(step)}`))
    .join('')
    .replace(/^\./, '');
}

/** Follows a path as far as it goes; `pair` is the map entry of the last step that was found. */
function walk(
  document: Document.Parsed,
  path: Path,
): { node: Node | null | undefined; pair: Pair | undefined; complete: boolean } {
  let node: Node | null | undefined = document.contents;
  let pair: Pair | undefined;
  for (const step of path) {
    if (isAlias(node)) node = node.resolve(document);
    let next: Node | null | undefined;
    let nextPair: Pair | undefined;
    if (isMap(node)) {
      nextPair = findPair(document, node, String(step));
      next = nextPair?.value as Node | null | undefined;
    } else if (isSeq(node) && typeof step === 'number') {
      next = node.items[step] as Node | undefined;
    }
    if (next === undefined) return { node, pair, complete: false };
    pair = nextPair;
    // `key:` without a value: the key is the best place to show.
    if (next === null) return { node: pair?.key as Node, pair, complete: false };
    node = next;
  }
  return { node, pair, complete: true };
}

function findPair(
  document: Document.Parsed,
  node: Node | null | undefined,
  key: string,
): Pair | undefined {
  const map = isAlias(node) ? node.resolve(document) : node;
  if (!isMap(map)) return undefined;
  return map.items.find((pair) => (isScalar(pair.key) ? String(pair.key.value) : '') === key);
}

function pathOfNode(document: Document.Parsed, wanted: Node): Path {
  let found: PropertyKey[] = [];
  const search = (node: unknown, path: PropertyKey[]): boolean => {
    if (node === wanted) {
      found = path;
      return true;
    }
    if (isMap(node)) {
      return node.items.some((pair) =>
        search(pair.value, [...path, isScalar(pair.key) ? String(pair.key.value) : '?']),
      );
    }
    return isSeq(node) && node.items.some((item, index) => search(item, [...path, index]));
  };
  search(document.contents, []);
  return found;
}

/** `$${` is a literal `${`. A bare `$NAME` is left alone. */
function substitute(
  text: string,
  lookup: Lookup,
  whereToSet: string,
): { text: string; faults: string[] } {
  const faults: string[] = [];
  const out = text.replace(/\$\$\{|\$\{([^}]*)\}?/g, (whole: string, inner?: string) => {
    if (whole === '$${') return '${';
    const match = /^(?:env:)?([A-Za-z_][A-Za-z0-9_]*)(?::-(.*))?$/s.exec(inner ?? '');
    if (match?.[1] === undefined || !whole.endsWith('}')) {
      faults.push(
        'holds a "${…}" that is not understood (write "${env:NAME}" or "${NAME:-default}")',
      );
      return whole;
    }
    const [, name, fallback] = match;
    const value = lookup(name);
    // As in a shell, `:-` also stands in for an empty value.
    if (fallback !== undefined) return value === undefined || value === '' ? fallback : value;
    if (value === undefined) {
      faults.push(`environment variable ${name} is not set (${whereToSet.replace('NAME', name)})`);
      return '';
    }
    return value;
  });
  return { text: out, faults };
}
