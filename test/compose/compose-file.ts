/**
 * docker-compose.yml as the tests read it: variables substituted from .env, merge keys resolved.
 * Only what the file uses; Compose's own loader (loader/) judges the file as a whole.
 */
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { parse } from 'yaml';

export const ROOT = fileURLToPath(new URL('../..', import.meta.url));

export interface ComposeService {
  readonly image: string;
  readonly build?: { readonly context: string; readonly dockerfile?: string };
  readonly entrypoint?: readonly string[];
  readonly command?: readonly string[];
  readonly environment?: Readonly<Record<string, string | number>>;
  readonly ports?: readonly string[];
  readonly volumes?: readonly string[];
  readonly configs?: readonly { readonly source: string; readonly target: string }[];
  readonly depends_on?: Readonly<Record<string, { readonly condition: string }>>;
  readonly healthcheck?: { readonly test: readonly string[] };
  readonly network_mode?: string;
  readonly profiles?: readonly string[];
  readonly init?: boolean;
  readonly restart?: string;
  readonly logging?: { readonly options: Readonly<Record<string, string>> };
  readonly deploy?: { readonly resources: { readonly limits: { readonly memory: string } } };
}

export interface ComposeFile {
  readonly services: Readonly<Record<string, ComposeService>>;
  readonly volumes: Readonly<Record<string, unknown>>;
  readonly configs: Readonly<Record<string, { readonly file: string }>>;
}

const read = (path: string): string => readFileSync(ROOT + path, 'utf8');

/** Variables of the committed .env. */
export function demoEnvironment(): Record<string, string> {
  return Object.fromEntries(
    read('.env')
      .split('\n')
      .filter((line) => line !== '' && !line.startsWith('#'))
      .map((line) => [line.slice(0, line.indexOf('=')), line.slice(line.indexOf('=') + 1)]),
  );
}

/** The compose file with its variables substituted. Throws on one that .env does not set. */
export function readCompose(): ComposeFile {
  const environment = demoEnvironment();
  const text = read('docker-compose.yml').replace(
    /\$\{(\w+)(?::\?[^}]*|:-([^}]*))?\}/g,
    (_, name: string, fallback: string | undefined) => {
      const value = environment[name] ?? fallback;
      if (value === undefined) throw new Error(`.env does not set ${name}`);
      return value;
    },
  );
  return parse(text, { merge: true, maxAliasCount: -1 }) as ComposeFile;
}

/** Names of the services that run our image. */
export function ourServices(compose: ComposeFile): string[] {
  return Object.entries(compose.services)
    .filter(([, service]) => service.build !== undefined && service.build.dockerfile === undefined)
    .map(([name]) => name);
}

/** The entry point of our image, where a service does not name its own. */
export function imageEntrypoint(): string[] {
  const line = /^ENTRYPOINT (\[.*\])$/m.exec(read('Dockerfile'))?.[1];
  if (line === undefined) throw new Error('the Dockerfile has no ENTRYPOINT in exec form');
  return JSON.parse(line) as string[];
}
