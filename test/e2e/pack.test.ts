/**
 * The published package works: `npm pack`, install the tarball in an empty project as a user would,
 * run its command. Node refuses TypeScript under node_modules, so this proves the packed build.
 */
import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { OtlpSink } from '../helpers/otlp-sink.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));

describe('the packed package', function () {
  this.timeout(120_000);
  let dir = '';
  let installed = '';

  before(() => {
    dir = mkdtempSync(join(tmpdir(), 'azimuth-pack-'));
    execFileSync('npm', ['pack', '--pack-destination', dir], { cwd: root, stdio: 'pipe' });
    const tarball = readdirSync(dir).find((name) => name.endsWith('.tgz'));
    assert.ok(tarball !== undefined, 'npm pack wrote no tarball');
    writeFileSync(join(dir, 'package.json'), '{"name":"user","version":"1.0.0"}');
    // Without optional packages: the database engine alone is half a gigabyte, and no command that
    // is run here needs it.
    execFileSync(
      'npm',
      [
        'install',
        '--omit=optional',
        '--prefer-offline',
        '--no-audit',
        '--no-fund',
        join(dir, tarball),
        'http-proxy@1.18.1',
      ],
      { cwd: dir, stdio: 'pipe' },
    );
    installed = join(dir, 'node_modules', 'azimuth-mesh');
  });
  after(() => rmSync(dir, { recursive: true, force: true }));

  const azimuth = (...args: string[]): string =>
    execFileSync(join(dir, 'node_modules/.bin/azimuth'), args, {
      encoding: 'utf8',
      cwd: dir,
    });

  it('holds no TypeScript and no tests', () => {
    const names = readdirSync(installed, { recursive: true, encoding: 'utf8' });
    assert.deepEqual(
      names.filter((name) => name.endsWith('.ts') || name.includes('test/')),
      [join('dist', 'proxy', 'adapters', 'http-proxy.d.ts')],
    );
    assert.ok(names.includes(join('dist', 'store', 'schema', '001_spans.sql')));
  });

  it('prints its version and help', () => {
    assert.match(azimuth('--version'), /^\d+\.\d+\.\d+\n$/);
    assert.match(azimuth('--help'), /azimuth report gateway-vs-mesh/);
  });

  it('runs the example of docs/HTTP-PROXY.md as it stands there', async () => {
    const collector = await new OtlpSink().start();
    const upstream = createServer((_, response) => response.end('from the shop'));
    upstream.listen(0, '127.0.0.1');
    await once(upstream, 'listening');
    const port = (upstream.address() as AddressInfo).port;
    // Only the addresses are the test's own.
    const example = exampleOf(readFileSync(join(root, 'docs/HTTP-PROXY.md'), 'utf8'))
      .replace('http://127.0.0.1:3000', `http://127.0.0.1:${port}`)
      .replace('http://127.0.0.1:4318', collector.endpoint)
      .replace('listen(8080)', `listen(0, '127.0.0.1', () => console.log(server.address().port))`);
    writeFileSync(join(dir, 'example.mjs'), example);
    const child = spawn(process.execPath, ['example.mjs'], {
      cwd: dir,
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const exit = once(child, 'exit');
    try {
      const [listening] = (await Promise.race([once(child.stdout, 'data'), exit])) as [unknown];
      const free = String(listening).trim();
      const response = await fetch(`http://127.0.0.1:${free}/products/7`, {
        headers: { connection: 'close' },
      });
      assert.equal(await response.text(), 'from the shop');
      child.kill('SIGTERM');
      assert.deepEqual(await exit, [0, null]);
      assert.deepEqual(
        collector.spans.map((span) => [span.name, span.attributes.get('azimuth.target')]),
        [['GET /products/{id}', 'shop']],
      );
      assert.ok(collector.logs > 0, 'the closing ledger');
    } finally {
      child.kill('SIGKILL');
      upstream.close();
      collector.stop();
    }
  });

  it('gives the adapter types that stand by themselves', () => {
    const types = readFileSync(join(installed, 'dist/proxy/adapters/http-proxy.d.ts'), 'utf8');
    assert.match(types, /export declare function instrument/);
    assert.doesNotMatch(types, /from ['"]\./);
  });

  it('loads every command', () => {
    for (const name of [
      'check',
      'gateway',
      'sidecar',
      'tail',
      'collector',
      'store',
      'analytics',
      'topics',
      'report',
      'reconcile',
      'sql',
      'decode',
    ]) {
      assert.match(azimuth(name, '--help'), /azimuth/, name);
    }
  });
});

/** The code block behind `<!-- example -->`. */
function exampleOf(page: string): string {
  const found = /<!-- example -->\s+```js\n([^]*?)```/.exec(page);
  assert.ok(found !== null, 'the page has an example');
  return found[1]!;
}
