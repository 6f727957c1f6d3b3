/**
 * docker-compose.yml and what it includes, as the tests read them: variables substituted from .env,
 * merge keys resolved. Only what the files use; Compose's own loader (loader/) judges them as a whole.
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
  readonly healthcheck?: { readonly test?: readonly string[] };
  readonly user?: string;
  readonly read_only?: boolean;
  readonly cap_drop?: readonly string[];
  readonly security_opt?: readonly string[];
  readonly stop_grace_period?: string;
  readonly network_mode?: string;
  readonly extra_hosts?: readonly string[];
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

/** The compose file and the one that it includes, as text. */
export const COMPOSE_FILES = ['docker-compose.yml', 'deploy/compose/scale.yaml'] as const;

/** Services that a profile starts, by name. */
export function servicesOf(compose: ComposeFile, profile: string): [string, ComposeService][] {
  return Object.entries(compose.services).filter(([, { profiles }]) => profiles?.includes(profile));
}

/** The compose files with their variables substituted. Throws on one that .env does not set. */
export function readCompose(): ComposeFile {
  const [main, scale] = COMPOSE_FILES.map((file) => readOne(read(file)));
  return {
    services: { ...main!.services, ...scale!.services },
    volumes: { ...main!.volumes, ...scale!.volumes },
    configs: main!.configs,
  };
}

/** One compose file's text with its variables substituted; what it includes is left out. */
export function readOne(text: string): ComposeFile {
  const environment = demoEnvironment();
  const substituted = text.replace(
    /\$\$|\$\{(\w+)(?::\?[^}]*|:-([^}]*))?\}/g,
    (match, name: string | undefined, fallback: string | undefined) => {
      if (name === undefined) return match.slice(1);
      const value = environment[name] ?? fallback;
      if (value === undefined) throw new Error(`.env does not set ${name}`);
      return value;
    },
  );
  return parse(substituted, { merge: true, maxAliasCount: -1 }) as ComposeFile;
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
