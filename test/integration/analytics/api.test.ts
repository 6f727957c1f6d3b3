import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { createAnalyticsApi } from '../../../analytics/api.ts';
import { REPORTS } from '../../../analytics/reports/catalogue.ts';
import type { HttpAppServer } from '../../../runtime/http-app.ts';
import { insertHops } from '../../helpers/hop-rows.ts';
import { startTestStore, type TestStore } from '../../helpers/store.ts';

interface Document {
  readonly openapi: string;
  readonly paths: Readonly<
    Record<
      string,
      {
        readonly get: {
          readonly operationId: string;
          readonly parameters?: readonly { readonly $ref?: string; readonly name?: string }[];
        };
      }
    >
  >;
  readonly components: {
    readonly parameters: Readonly<Record<string, { readonly name: string; readonly schema: { readonly type: string; readonly enum?: readonly string[] } }>>; // prettier-ignore
    readonly schemas: { readonly report: { readonly required: readonly string[] } };
  };
}

/** A value that a parameter takes, by its name. */
const VALUES: Readonly<Record<string, string>> = {
  last: '10m',
  from: '2026-01-31T12:00:00Z',
  to: '2026-01-31T12:10:00Z',
  base_from: '2026-01-30T12:00:00Z',
  base_to: '2026-01-30T12:10:00Z',
  perspective: 'whole',
  generation: '1',
  base_generation: '2',
  route: '/a',
  service: 'edge',
  topology: 'separate',
  base_topology: 'merged',
  format: 'json',
};

describe('analytics API', function () {
  this.timeout(60_000);
  let store: TestStore;
  let api: HttpAppServer;
  const get = (path: string): Promise<Response> => fetch(`http://127.0.0.1:${api.port()}${path}`);

  before(async () => {
    store = await startTestStore();
    await insertHops(store.client, Array.from({ length: 40 }, (_, i) => ({ n: 5 * i, atMs: Date.now() - 60_000 }))); // prettier-ignore
    api = createAnalyticsApi({
      host: '127.0.0.1',
      port: 0,
      store: store.client,
      retentionDays: 7,
      jobs: [],
      nowMs: Date.now,
    });
    await api.start();
  });
  after(async () => {
    await api.stop();
    await store.stop();
  });

  it('serves its description, which is the one in docs and names every report', async () => {
    const served = (await (await get('/openapi.json')).json()) as Document;
    const kept = readFileSync(new URL('../../../docs/openapi.json', import.meta.url), 'utf8');
    assert.deepEqual(served, JSON.parse(kept));
    assert.equal(served.openapi, '3.1.0');
    const ids = Object.values(served.paths).map((path) => path.get.operationId);
    assert.equal(new Set(ids).size, ids.length);
    const page = readFileSync(new URL('../../../docs/API.md', import.meta.url), 'utf8');
    for (const { name, summary } of REPORTS) {
      assert.ok(served.paths[`/api/${name}`] !== undefined);
      assert.ok(page.includes(`/api/${name}`), summary);
    }
    for (const [, ref] of kept.matchAll(/"\$ref": "#\/([^"]+)"/g)) {
      let found: unknown = served;
      for (const key of ref!.split('/')) found = (found as Record<string, unknown>)[key];
      assert.ok(found !== undefined, ref);
    }
  });

  it('leads from where its description was first to where it is', async () => {
    const moved = await fetch(`http://127.0.0.1:${api.port()}/api/openapi.json`, {
      redirect: 'manual',
    });
    assert.equal(moved.status, 308);
    const followed = await get('/api/openapi.json');
    assert.equal(new URL(followed.url).pathname, '/openapi.json');
    assert.equal(((await followed.json()) as Document).openapi, '3.1.0');
    assert.equal((await get('/api/openapi.json?x=1')).status, 400);
  });

  it('takes every parameter that it describes, and answers with the keys that it promises', async () => {
    const described = (await (await get('/openapi.json')).json()) as Document;
    const { parameters, schemas } = described.components;
    for (const report of REPORTS) {
      const names = described.paths[`/api/${report.name}`]!.get.parameters!.map(
        ({ $ref }) => parameters[$ref!.split('/').at(-1)!]!.name,
      );
      const query = names.filter((name) => name !== 'last').map((name) => `${name}=${encodeURIComponent(VALUES[name]!)}`).join('&'); // prettier-ignore
      assert.equal((await get(`/api/${report.name}?${query}`)).status, 200, query);
      const recent = await get(`/api/${report.name}?last=10m`);
      assert.match(recent.headers.get('content-type')!, /^application\/json/);
      const body = (await recent.json()) as Record<string, unknown>;
      for (const key of [...schemas.report.required, ...report.keys]) {
        assert.ok(key in body, `${report.name} ${key}`);
      }
      assert.equal(body['report'], report.name);
    }
  });

  it('gives the other forms with their media types', async () => {
    const csv = await get('/api/routes?last=10m&format=csv');
    assert.match(csv.headers.get('content-type')!, /^text\/csv/);
    assert.equal((await csv.text()).trimEnd().split('\n').length, 2);
    const html = await get('/api/edges?last=10m&format=html');
    assert.match(html.headers.get('content-type')!, /^text\/html/);
    assert.match(await html.text(), /^<!doctype html>/);
  });

  it('refuses what it does not understand, and names it', async () => {
    for (const [path, named] of [
      ['/api/routes?colour=red', /takes no colour; it takes: last, from, to, perspective$/],
      ['/api/edges?perspective=split&x=1', /takes no perspective, x/],
      ['/api/routes?last=5m&last=1h', /given twice: last/],
      ['/api/routes?format=pdf', /format is one of: json, csv, html/],
      ['/api/routes?last=', /no length of time/],
      ['/api/compare?base_generation=0', /no generation/],
      ['/api/live?last=5m&speed=2', /this path takes no speed; it takes: last/],
      ['/openapi.json?pretty=1', /takes no pretty; it takes: nothing/],
      [`/api/traces/${'0'.repeat(32)}?deep=1`, /takes no deep/],
      ['/api/traces/abc', /no trace id/],
    ] as const) {
      const answer = await get(path);
      assert.equal(answer.status, 400, path);
      const body = (await answer.json()) as { error: string; code: string };
      assert.match(body.error, named);
      assert.equal(body.code, 'AZ_USAGE');
    }
    assert.equal((await get('/api/nothing')).status, 404);
  });
});
