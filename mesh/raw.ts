/**
 * Tolerant reading of a mesh file's raw values, for the checks that concern several of them: a value
 * of the wrong type reads as left out, since config.ts reports it.
 */
import type { Path } from './source.ts';

export type Raw = Readonly<Record<string, unknown>>;

/** A group of keys, and where it stands. */
export interface Item {
  readonly raw: Raw;
  readonly path: Path;
}

export const isRaw = (value: unknown): value is Raw =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

export const group = (parent: Item, key: string): Item => {
  const value = parent.raw[key];
  return { raw: isRaw(value) ? value : {}, path: [...parent.path, key] };
};

export function list(parent: Item, key: string): Item[] {
  const value = parent.raw[key];
  if (!Array.isArray(value)) return [];
  return value.flatMap((raw: unknown, index) =>
    isRaw(raw) ? [{ raw, path: [...parent.path, key, index] }] : [],
  );
}

export const text = (item: Item, key: string): string | undefined => {
  const value = item.raw[key];
  return typeof value === 'string' ? value : undefined;
};

export const strings = (value: unknown): string[] =>
  Array.isArray(value) ? value.filter((v) => typeof v === 'string') : [];
