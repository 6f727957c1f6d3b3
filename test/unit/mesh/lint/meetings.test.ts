import assert from 'node:assert/strict';
import { meetingsOf } from '../../../../mesh/lint/edges.ts';
import { intersectTemplates, parseTemplate } from '../../../../mesh/route-template.ts';
import { validateMesh } from '../../../../mesh/load.ts';
import { lintText } from '../../../helpers/lint-mesh.ts';

/** "outer inner" of each pair; "-" for what no route of the workload names. */
function pairs(outer: readonly string[], inner: readonly string[]): string[] {
  const text = `file_format: "1.0"
mesh: test
store: { password: "\${env:P}" }
gateways: [{ name: edge, routes: [${outer.map((o) => `{ to: web, ${o} }`).join(', ')}] }]
workloads: [{ name: web, address: "127.0.0.1:9101", routes: [${inner.map((i) => `{ ${i} }`).join(', ')}] }]
sidecars: [{ name: web-sidecar, admin: { port: 15010 }, serves: [{ workload: web }] }]
`;
  const { mesh, faults } = validateMesh('mesh.yaml', text, () => 'x', '');
  assert.deepEqual(faults, []);
  return meetingsOf(mesh!.config).map(
    (meeting) => `${meeting.outer.config.path} ${meeting.inner?.config.path ?? '-'}`,
  );
}

describe('routes that meet on a path', () => {
  it('are those that one request fits, and the rest that none names', () => {
    assert.deepEqual(pairs(['path: "/api/*"'], ['path: "/api/{id}"', 'path: "/other"']), [
      '/api/* /api/{id}',
      '/api/* -',
    ]);
    assert.deepEqual(pairs(['path: "/api/{id}"'], ['path: "/api/*"']), ['/api/{id} /api/*']);
  });

  it('are not those of which a more special route takes all', () => {
    assert.deepEqual(pairs(['path: "/api/*"', 'path: "/api/a"'], ['path: "/api/a"']), [
      '/api/* -',
      '/api/a /api/a',
    ]);
    assert.deepEqual(pairs(['path: "/api/a"'], ['path: "/api/*"', 'path: "/api/a"']), [
      '/api/a /api/a',
    ]);
  });

  it('differ where methods or headers do', () => {
    assert.deepEqual(pairs(['path: "/a", methods: [GET]'], ['path: "/a", methods: [POST]']), [
      '/a -',
    ]);
    const of = (value: string): string => `path: "/a", headers: [{ name: x-v, value: "${value}" }]`;
    assert.deepEqual(pairs([of('1')], [of('2')]), ['/a -']);
    assert.deepEqual(pairs([of('1')], [of('1')]), ['/a /a']);
  });

  it('are found by the path that a rewrite makes', () => {
    const rewritten = 'path: "/v1/*", functions: { rewrite: { prefix: "/api" } }';
    assert.deepEqual(pairs([rewritten], ['path: "/api/a"', 'path: "/v1/a"']), [
      '/v1/* /api/a',
      '/v1/* -',
    ]);
    const whole = 'path: "/item/{id}", functions: { rewrite: { path: "/api/{id}" } }';
    assert.deepEqual(pairs([whole], ['path: "/api/{x}"']), ['/item/{id} /api/{x}']);
  });

  it('have templates in common that intersectTemplates gives', () => {
    const both = (a: string, b: string): readonly string[] | undefined => {
      const [x, y] = [parseTemplate(a), parseTemplate(b)];
      assert.ok(x.ok && y.ok);
      assert.deepEqual(
        intersectTemplates(x.segments, y.segments),
        intersectTemplates(y.segments, x.segments),
      );
      return intersectTemplates(x.segments, y.segments);
    };
    assert.deepEqual(both('/*', '/a/{b}'), ['a', '{}']);
    assert.deepEqual(both('/{a}/b', '/a/{b}'), ['a', 'b']);
    assert.deepEqual(both('/a/*', '/a'), ['a']);
    assert.deepEqual(both('/a/*', '/{x}/*'), ['a', '**']);
    assert.equal(both('/a', '/b'), undefined);
    assert.equal(both('/a', '/a/b'), undefined);
  });
});

describe('findings along a path', () => {
  const rulesOf = (text: string): string[] => lintText(text).map(({ rule }) => rule);
  const KEY = (digit: string): string => `keys: [{ consumer: app, sha256: ${digit.repeat(64)} }]`;
  const keyed = (atEdge: string, inside: string): string => `gateways:
  - { name: edge, functions: { api_keys: { ${atEdge} } }, routes: [{ path: "/*", to: web }] }
workloads:
  - name: web
    address: "127.0.0.1:9101"
    routes: [{ path: "/a", functions: { api_keys: { ${inside} } } }]
`;

  it('tell API keys that are taken out or unknown from those that are asked for twice', () => {
    assert.deepEqual(rulesOf(keyed(KEY('a'), KEY('a'))), ['authentication-contradicts']);
    const forwarded = `forward: true, ${KEY('a')}`;
    assert.deepEqual(rulesOf(keyed(forwarded, KEY('a'))), ['authentication-twice']);
    assert.deepEqual(rulesOf(keyed(forwarded, KEY('b'))), ['authentication-contradicts']);
    assert.deepEqual(rulesOf(keyed(KEY('a'), `header: x-inner, ${KEY('b')}`)), [
      'authentication-twice',
    ]);
  });

  it('are none where the route does without the function of its gateway', () => {
    const off = keyed(KEY('a'), KEY('a')).replace(
      'to: web }',
      'to: web, functions: { off: [api_keys] } }',
    );
    assert.deepEqual(rulesOf(off), []);
  });

  it('leave lists alone that keep some paths from the gateway', () => {
    const lists = (path: string): string => `identity: { trust_domain: shop.local, dir: certs }
gateways: [{ name: edge, namespace: shop, routes: [{ path: "${path}", to: web }] }]
workloads:
  - { name: tool, address: "127.0.0.1:9102" }
  - { name: web, address: "127.0.0.1:9101", routes: [{ path: "/admin/*", allow: [tool] }] }
`;
    assert.deepEqual(rulesOf(lists('/*')), []);
    assert.deepEqual(rulesOf(lists('/admin/users')), ['allow-without-gateway']);
    const byId = lists('/admin/users').replace('[tool]', '["spiffe://shop.local/ns/shop/*"]');
    assert.deepEqual(rulesOf(byId), []);
  });

  it('compare a call with the time of the edge, retries after timeouts included', () => {
    const text = (tryMs: number): string => `gateways:
  - { name: edge, routes: [{ path: "/*", to: web, timeout_ms: 1000 }] }
workloads:
  - { name: web, kind: bff, address: "127.0.0.1:9101" }
  - name: stock
    address: "127.0.0.1:9102"
    routes: [{ path: "/s", try_timeout_ms: ${tryMs}, retry: { on: [timeout] } }]
`;
    assert.deepEqual(rulesOf(text(400)), []);
    const [finding] = lintText(text(600));
    assert.equal(finding?.rule, 'outer-timeout-shorter');
    assert.match(
      finding.consequence,
      /^edge answers 504 after 1,000 ms, so 213 ms of the 1,213 ms/,
    );
  });

  it('name the clash of CORS by hand at the edge itself', () => {
    const [finding] = lintText(`gateways:
  - name: edge
    functions:
      cors: { origins: ["https://shop.example"] }
      headers: { response: { set: { access-control-max-age: "60", access-control-x: "1" } } }
    routes: [{ path: "/a", to: web }, { path: "/b", to: web }]
workloads: [{ name: web, address: "127.0.0.1:9101" }]
`);
    assert.match(
      finding!.consequence,
      /have 2 access-control-max-age, one of cors and one by hand/,
    );
  });
});
