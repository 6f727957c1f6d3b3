/** The container image against the code: what its commands import must be in it. */
import assert from 'node:assert/strict';
import { existsSync, globSync, readFileSync } from 'node:fs';
import { builtinModules } from 'node:module';
import { dirname, join, normalize } from 'node:path';
import { ROOT, ourServices, readCompose } from './compose-file.ts';

const dockerfile = readFileSync(`${ROOT}Dockerfile`, 'utf8');

/** Paths that the Dockerfile copies from the build context. */
const copied = [...dockerfile.matchAll(/^COPY (?!--from)(.+)$/gm)].flatMap(([, rest = '']) =>
  rest.trim().split(/\s+/).slice(0, -1),
);

/** Import specifiers of a source file: static, dynamic and re-exports; types are gone at run time. */
function importsOf(path: string): string[] {
  const text = readFileSync(ROOT + path, 'utf8');
  return [
    ...text.matchAll(
      /^(?:import|export)\s+(?!type\b)(?:[^'";]*?\sfrom\s+)?['"]([^'"]+)['"]|\bimport\(\s*['"]([^'"]+)['"]\s*\)/gm,
    ),
  ].map(([, still, dynamic]) => (still ?? dynamic)!);
}

/** Every file of ours and every package that the files reach. */
function reachable(entries: readonly string[]): { files: Set<string>; packages: Set<string> } {
  const files = new Set<string>();
  const packages = new Set<string>();
  const open = [...entries];
  for (let path = open.pop(); path !== undefined; path = open.pop()) {
    if (files.has(path)) continue;
    files.add(path);
    for (const specifier of importsOf(path)) {
      if (specifier.startsWith('.')) open.push(normalize(join(dirname(path), specifier)));
      else if (!specifier.startsWith('node:')) {
        packages.add(
          specifier
            .split('/')
            .slice(0, specifier.startsWith('@') ? 2 : 1)
            .join('/'),
        );
      }
    }
  }
  return { files, packages };
}

describe('Dockerfile', () => {
  let files = new Set<string>();
  let packages = new Set<string>();

  before(() => {
    const compose = readCompose();
    const programs = ourServices(compose).flatMap(
      (name) => compose.services[name]!.entrypoint?.filter((word) => word.endsWith('.ts')) ?? [],
    );
    ({ files, packages } = reachable([
      'bin/azimuth.js',
      'bin/main.ts',
      ...globSync('bin/commands/*.ts', { cwd: ROOT }),
      ...programs,
    ]));
  });

  it('copies only what is there, and .dockerignore lets all of it through', () => {
    const allowed = readFileSync(`${ROOT}.dockerignore`, 'utf8')
      .split('\n')
      .filter((line) => line.startsWith('!'))
      .map((line) => line.slice(1));
    const grafana = readFileSync(`${ROOT}deploy/grafana/Dockerfile`, 'utf8');
    const sources = [
      ...copied,
      ...[...grafana.matchAll(/^COPY (\S+) /gm)].map(([, source]) => source!),
    ];
    assert.ok(sources.length > 10);
    for (const source of sources) {
      assert.ok(existsSync(ROOT + source), source);
      assert.ok(
        allowed.some((path) => source === path || source.startsWith(`${path}/`)),
        `.dockerignore leaves out ${source}`,
      );
    }
  });

  it('copies every file that a command or a service of the shop imports', () => {
    assert.ok(files.size > 20, `only ${files.size} files were reached`);
    const missing = [...files].filter(
      (path) => !copied.some((source) => path === source || path.startsWith(`${source}/`)),
    );
    assert.deepEqual(missing, []);
  });

  it('installs every package that they import', () => {
    const { dependencies } = JSON.parse(readFileSync(`${ROOT}package.json`, 'utf8')) as {
      dependencies: Record<string, string>;
    };
    const missing = [...packages].filter(
      (name) => !(name in dependencies) && !builtinModules.includes(name),
    );
    assert.deepEqual(missing, []);
    assert.ok(packages.has('kafkajs'), 'packages were found at all');
  });

  it('does not run as root', () => {
    assert.match(dockerfile, /^USER node$/m);
    assert.match(readFileSync(`${ROOT}deploy/grafana/Dockerfile`, 'utf8'), /\nUSER 472\n$/);
  });

  it('has a Node that the package accepts', () => {
    const { engines } = JSON.parse(readFileSync(`${ROOT}package.json`, 'utf8')) as {
      engines: { node: string };
    };
    const [, least] = /^>=(\d+)\./.exec(engines.node)!;
    for (const [, major] of dockerfile.matchAll(/^FROM node:(\d+)/gm)) {
      assert.ok(Number(major) >= Number(least));
    }
  });
});
