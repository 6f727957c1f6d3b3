/**
 * Rules that every file of the repository keeps and no linter knows. Each rule is a function from
 * one file to its faults, with a planted violation beside it that tidy.test.ts feeds to it: a rule
 * that cannot fail is no rule.
 */

export interface RepoFile {
  /** From the root of the repository, with `/`. */
  readonly path: string;
  readonly bytes: number;
  /** Undefined for files that are not text. */
  readonly text: string | undefined;
}

export interface TidyRule {
  readonly name: string;
  /** One line a fault; empty when the file keeps the rule. `exists` tells of any path in the repository. */
  check(file: RepoFile, exists: (path: string) => boolean): readonly string[];
  /** Files that break the rule. */
  readonly planted: readonly (Pick<RepoFile, 'path'> & { text: string; bytes?: number })[];
  /** Files that look alike and keep it. */
  readonly kept: readonly (Pick<RepoFile, 'path'> & { text: string; bytes?: number })[];
}

/** Folders with sources of ours: each has one reason to change and says so in its files' heads. */
const SOURCE_FOLDERS =
  /^(telemetry|runtime|mesh|transport|proxy|collector|store|analytics|dashboards|bin|demo|tools|bench)\//;

const BYTES_MAX = 1_000_000;

/** Lines of a text with their number, where `holds`. */
function linesWhere(text: string, holds: (line: string) => boolean, what: string): string[] {
  return text
    .split('\n')
    .flatMap((line, index) => (holds(line) ? [`line ${index + 1}: ${what}`] : []));
}

/** Text of a Markdown document without its fenced code. */
function prose(markdown: string): string {
  return markdown.replace(/^(```|~~~)[^\n]*\n[\s\S]*?^\1[^\S\n]*$/gm, '');
}

// Written in pieces, so that this file does not break the rules that it states.
const ONLY = ['only'].join('');
const UNFINISHED = ['TO', 'DO'].join('');
const BROKEN = ['FIX', 'ME'].join('');
const PRIVATE_KEY = ['-----BEGIN RSA', 'PRIVATE KEY-----'].join(' ');
const place = (...parts: readonly string[]): string => ['', ...parts].join('/');
const MARKER = '<'.repeat(7);

export const TIDY_RULES: readonly TidyRule[] = [
  {
    name: 'no test is run alone',
    check: ({ path, text }) =>
      text !== undefined && path.endsWith('.ts')
        ? linesWhere(
            text,
            (line) => new RegExp(`\\b(describe|context|it|specify)\\.${ONLY}\\(`).test(line),
            `a test marked .${ONLY}`,
          )
        : [],
    planted: [{ path: 'test/a.test.ts', text: `it.${ONLY}('works', () => {});\n` }],
    kept: [{ path: 'test/a.test.ts', text: `it('takes the ${ONLY} one', () => {});\n` }],
  },
  {
    name: 'what is left to do names its issue',
    check: ({ path, text }) =>
      text !== undefined && /(\.(ts|js|cjs|sql|ya?ml|go|sh|md)|Dockerfile)$/.test(path)
        ? linesWhere(
            text,
            (line) => new RegExp(`\\b(${UNFINISHED}|${BROKEN})\\b(?!\\(#\\d+\\))`).test(line),
            `${UNFINISHED} without an issue, as ${UNFINISHED}(#12)`,
          )
        : [],
    planted: [
      { path: 'proxy/a.ts', text: `// ${UNFINISHED}: later\n` },
      { path: 'store/schema/1.sql', text: `-- ${BROKEN}\n` },
    ],
    kept: [{ path: 'proxy/a.ts', text: `// ${UNFINISHED}(#7): later\n` }],
  },
  {
    name: 'a source file says at its head what it is for',
    check: ({ path, text }) => {
      if (text === undefined || !SOURCE_FOLDERS.test(path)) return [];
      const body = text.replace(/^#![^\n]*\n/, '');
      if (/\.(ts|js)$/.test(path)) {
        return /^(\/\*\*?\s|\/\/ \S)/.test(body) ? [] : ['no head'];
      }
      return path.endsWith('.sql') && !/^-- \S/.test(body) ? ['no head'] : [];
    },
    planted: [
      { path: 'runtime/a.ts', text: "import { b } from './b.ts';\n" },
      { path: 'store/schema/009_a.sql', text: 'CREATE TABLE a\n' },
      { path: 'bin/a.js', text: '#!/usr/bin/env node\nimport 1;\n' },
    ],
    kept: [
      { path: 'runtime/a.ts', text: '/**\n * What for.\n */\nexport {};\n' },
      { path: 'bin/a.js', text: '#!/usr/bin/env node\n// What for.\n' },
      { path: 'store/schema/009_a.sql', text: '-- One row per a.\n' },
      { path: 'test/unit/a.test.ts', text: "import 'b';\n" },
    ],
  },
  {
    name: 'names of source files are kebab-case',
    check: ({ path }) => {
      if (!SOURCE_FOLDERS.test(path) || !/\.(ts|js)$/.test(path)) return [];
      const name = path.slice(path.lastIndexOf('/') + 1);
      return /^[a-z0-9]+(-[a-z0-9]+)*(\.d)?\.(ts|js)$/.test(name) ? [] : ['not kebab-case'];
    },
    planted: [
      { path: 'proxy/hopWriter.ts', text: '' },
      { path: 'proxy/hop_writer.ts', text: '' },
    ],
    kept: [
      { path: 'proxy/hop-writer.ts', text: '' },
      { path: 'README.md', text: '' },
    ],
  },
  {
    name: 'a document has one title, at its top',
    check: ({ path, text }) => {
      if (text === undefined || !path.endsWith('.md')) return [];
      const titles = prose(text).match(/^# \S.*$/gm) ?? [];
      if (titles.length !== 1) return [`${titles.length} titles of first level`];
      return text.startsWith('# ') ? [] : ['the title is not its first line'];
    },
    planted: [
      { path: 'docs/a.md', text: '# One\n\n# Two\n' },
      { path: 'docs/a.md', text: 'Text.\n\n# Late\n' },
      { path: 'docs/a.md', text: '## Second level\n' },
    ],
    kept: [{ path: 'docs/a.md', text: '# One\n\n```sh\n# a comment\n```\n' }],
  },
  {
    name: 'a link between documents leads somewhere',
    check: ({ path, text }, exists) => {
      if (text === undefined || !path.endsWith('.md')) return [];
      const folder = path.includes('/') ? path.slice(0, path.lastIndexOf('/') + 1) : '';
      return [...prose(text).matchAll(/\]\((?!https?:|mailto:|#)([^)#\s]+)(#[^)]*)?\)/g)].flatMap(
        ([, target = '']) => {
          const resolved = new URL(target, `file:///${folder}`).pathname.slice(1);
          return exists(decodeURIComponent(resolved)) ? [] : [`${target} is not there`];
        },
      );
    },
    planted: [{ path: 'docs/a.md', text: '# A\n\n[b](adr/none.md)\n' }],
    kept: [
      {
        path: 'docs/a.md',
        text: '# A\n\n[a](../README.md#top) [b](https://example.com/none.md)\n',
      },
    ],
  },
  {
    name: 'no file is larger than 1 MB',
    check: ({ bytes }) => (bytes > BYTES_MAX ? [`${bytes} bytes`] : []),
    planted: [{ path: 'test/fixtures/a.bin', text: '', bytes: BYTES_MAX + 1 }],
    kept: [{ path: 'test/fixtures/a.bin', text: '', bytes: BYTES_MAX }],
  },
  {
    name: 'no file names a place on one machine',
    check: ({ text }) =>
      text === undefined
        ? []
        : linesWhere(
            text,
            (line) =>
              /(^|[\s"'`(=:])\/(work|root|home\/[a-z]\w*|Users\/\w+)(\/|["'`\s)]|$)/.test(line) ||
              /[A-Z]:\\Users\\/.test(line),
            'a path of one machine',
          ),
    planted: [
      { path: 'docs/a.md', text: `# A\n\nSee ${place('work', 'notes')}.\n` },
      { path: 'a.ts', text: `const a = '${place('root')}';\n` },
      { path: 'a.sh', text: `cd ${place('home', 'me', 'azimuth')}\n` },
    ],
    kept: [
      { path: 'a.ts', text: "const a = '/homes/{id}'; const b = 'a/work/b'; // http://h/root/x\n" },
    ],
  },
  {
    name: 'the lock file names no registry',
    check: ({ path, text }) =>
      text !== undefined && path === 'package-lock.json'
        ? linesWhere(text, (line) => /"resolved": "(?!file:)/.test(line), 'a registry address')
        : [],
    planted: [{ path: 'package-lock.json', text: '"resolved": "https://example.com/a.tgz"\n' }],
    kept: [{ path: 'package-lock.json', text: '"integrity": "sha512-a"\n' }],
  },
  {
    // Without an entry for another platform's optional package `npm ci` refuses the whole file.
    name: 'the lock file has an entry for every optional dependency',
    check: ({ path, text }) => {
      if (text === undefined || path !== 'package-lock.json') return [];
      const { packages } = JSON.parse(text) as {
        packages: Record<string, { optionalDependencies?: Record<string, string> }>;
      };
      const entries = Object.keys(packages);
      return Object.values(packages).flatMap(({ optionalDependencies = {} }) =>
        Object.keys(optionalDependencies)
          .filter((name) => !entries.some((entry) => entry.endsWith(`node_modules/${name}`)))
          .map((name) => `no entry for ${name}`),
      );
    },
    planted: [
      {
        path: 'package-lock.json',
        text: '{"packages":{"node_modules/a":{"optionalDependencies":{"b":"1.0.0"}}}}\n',
      },
    ],
    kept: [
      {
        path: 'package-lock.json',
        text: '{"packages":{"node_modules/a":{"optionalDependencies":{"b":"1.0.0"}},"node_modules/b":{}}}\n',
      },
    ],
  },
  {
    name: 'no private key and no conflict marker',
    check: ({ text }) =>
      text === undefined
        ? []
        : [
            ...linesWhere(text, (line) => /-----BEGIN [A-Z ]*PRIVATE KEY-----/.test(line), 'a key'),
            ...linesWhere(text, (line) => /^(<{7}|>{7})( |$)/.test(line), 'a conflict marker'),
          ],
    planted: [
      { path: 'a.pem', text: `${PRIVATE_KEY}\n` },
      { path: 'a.ts', text: `${MARKER} mine\n` },
    ],
    kept: [{ path: 'a.md', text: '# A\n\n<<not a marker>>\n' }],
  },
  {
    name: 'text ends its lines with LF, also the last one',
    check: ({ path, text }) =>
      // Fixtures are bytes of others, kept as they are.
      text === undefined || text === '' || path.startsWith('test/fixtures/')
        ? []
        : [
            ...(text.includes('\r\n') ? ['CRLF'] : []),
            ...(text.endsWith('\n') ? [] : ['no line feed at its end']),
          ],
    planted: [
      { path: 'a.ts', text: 'export {};' },
      { path: 'a.md', text: '# A\r\n' },
    ],
    kept: [{ path: 'a.ts', text: 'export {};\n' }],
  },
];
