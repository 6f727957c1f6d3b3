/**
 * Route templates of the mesh file: `/products/{id}`, `/static/*`. Reads them into segments and
 * tells whether one template leaves anything over for a later one. Matching of live paths is the
 * proxy's; this file never sees a request.
 */

/** Segment of a template that stands for any one segment of a path. */
const ONE = '{}';
/** Segment that stands for the rest of a path, the empty rest included; always the last one. */
const REST = '**';

/** Template of the catch-all route. */
export const CATCH_ALL = '/*';

export type ParsedTemplate =
  | { readonly ok: true; readonly segments: readonly string[] }
  | { readonly ok: false; readonly fault: string };

const fault = (text: string): ParsedTemplate => ({ ok: false, fault: text });

/**
 * Segments of a template: a literal, `{}` for one segment, `**` for the rest; none for `/`.
 * A fault says what is wrong and what to write, and throws nothing.
 */
export function parseTemplate(template: string): ParsedTemplate {
  if (!template.startsWith('/')) return fault('does not start with a slash (write "/…")');
  if (/[?#\s]/.test(template)) {
    return fault('holds a query, fragment or blank (routes match the path alone: remove it)');
  }
  if (template === '/') return { ok: true, segments: [] };
  const parts = template.slice(1).split('/');
  const names = new Set<string>();
  const segments: string[] = [];
  for (const [index, part] of parts.entries()) {
    if (part === '') {
      return fault('has an empty segment (remove the doubled or trailing slash)');
    }
    if (part === '*') {
      if (index !== parts.length - 1) {
        return fault('has "*" before its end (write "{name}" for one segment)');
      }
      segments.push(REST);
    } else if (/^\{[A-Za-z_][A-Za-z0-9_]*\}$/.test(part)) {
      if (names.has(part)) return fault(`holds "${part}" twice (give each its own name)`);
      names.add(part);
      segments.push(ONE);
    } else if (/[{}*]/.test(part)) {
      return fault(
        `holds "${part}", neither a literal nor "{name}" (a name: letters, digits, "_")`,
      );
    } else {
      segments.push(part);
    }
  }
  return { ok: true, segments };
}

/** True when every path that `later` matches is matched by `earlier` too. */
export function coversTemplate(earlier: readonly string[], later: readonly string[]): boolean {
  for (let i = 0; ; i++) {
    const a = earlier[i];
    const b = later[i];
    if (a === REST) return true;
    if (a === undefined || b === undefined) return a === b;
    if (b === REST || (a !== ONE && a !== b)) return false;
  }
}

/** Template of the paths that both match; undefined when there are none. */
export function intersectTemplates(
  a: readonly string[],
  b: readonly string[],
): readonly string[] | undefined {
  const both: string[] = [];
  for (let i = 0; ; i++) {
    const x = a[i];
    const y = b[i];
    if (x === REST) return [...both, ...b.slice(i)];
    if (y === REST) return [...both, ...a.slice(i)];
    if (x === undefined || y === undefined) return x === y ? both : undefined;
    if (x !== ONE && y !== ONE && x !== y) return undefined;
    both.push(x === ONE ? y : x);
  }
}
