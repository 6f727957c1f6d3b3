/**
 * The version that every process reports. It has one source, package.json; a copy in code would
 * be forgotten at the next release.
 */
import { readFileSync } from 'node:fs';

/** Version of the package, read from package.json beside the sources or beside dist/. */
export const VERSION: string = readVersion();

function readVersion(): string {
  for (const path of ['../package.json', '../../package.json']) {
    try {
      const parsed = JSON.parse(readFileSync(new URL(path, import.meta.url), 'utf8')) as {
        name?: string;
        version?: string;
      };
      if (parsed.name === 'azimuth-mesh' && parsed.version !== undefined) return parsed.version;
    } catch {
      // Not there: the other place has it.
    }
  }
  return '0.0.0';
}
