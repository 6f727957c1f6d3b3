/**
 * The one loader of analytics/queries/*.sql. SQL lives in files, so that people and editors can
 * read it; `{name:Type}` are parameters that the server binds, and `{{file}}` puts the text of
 * another file there, so that two queries that must agree share one text. Nothing is ever spliced
 * in from values.
 */
import { readFileSync } from 'node:fs';

const texts = new Map<string, string>();

/**
 * Text of analytics/queries/NAME.sql with its `{{…}}` filled in; read once, then kept.
 * @throws Error when there is no such file: a programmer's error.
 */
export function sql(name: string): string {
  let text = texts.get(name);
  if (text === undefined) {
    text = readFileSync(new URL(`./queries/${name}.sql`, import.meta.url), 'utf8')
      .trimEnd()
      .replaceAll(/\{\{(\w+)\}\}/g, (_, included: string) => sql(included));
    texts.set(name, text);
  }
  return text;
}
