/** Text into HTML and SVG: names of routes, hosts and workloads are others' text. Pure. */
const ENTITIES: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
};

/** Safe between tags and in quoted attributes. Control characters, which XML knows none of, become `?`. */
export const escaped = (text: string): string =>
  text
    .replace(/[\x00-\x1f\x7f-\x9f]/g, '?')
    .replace(/[&<>"']/g, (character) => ENTITIES[character]!);

/** At most `max` characters, with an ellipsis where some are left out; escaped. */
export const shortened = (text: string, max: number): string =>
  escaped(text.length > max ? text.slice(0, max - 1) + '…' : text);

/** A coordinate: two decimals are finer than any screen. */
export const at = (n: number): string => String(Math.round(n * 100) / 100);
