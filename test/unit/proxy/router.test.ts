import assert from 'node:assert/strict';
import type { Route } from '../../../mesh/part.ts';
import { parseTemplate } from '../../../mesh/route-template.ts';
import { NO_METHOD, NO_ROUTE, Router } from '../../../proxy/router.ts';

const route = (template: string, hosts: string[] = [], methods: string[] = []): Route => {
  const parsed = parseTemplate(template);
  assert.ok(parsed.ok);
  return {
    template,
    hosts,
    methods,
    segments: parsed.segments,
    response_timeout_ms: 1000,
    upgrades: [],
    cluster: { name: 'c', endpoints: [], meshed: true, role: 'workload', connect_timeout_ms: 1000 },
  };
};
const router = new Router(
  [
    route('/', ['root.example']),
    route('/products/{id}', ['shop.example'], ['GET']),
    route('/products/{id}', ['shop.example'], ['DELETE', 'PUT']),
    route('/products/special', ['shop.example']),
    route('/{tenant}/orders', [], ['GET']),
    route('/static/*', ['shop.example']),
    route('/*', ['any.example', '[::1]']),
  ],
  10,
);
const match = (host: string, path: string, method = 'GET'): string => {
  const routes = router.routesOf(host);
  if (routes === undefined) return 'bad host';
  const found = router.match(routes, path, method);
  return typeof found === 'string' ? found : found.template;
};

describe('Router', () => {
  const cases: readonly [string, string, string, string][] = [
    ['shop.example', '/products/1', 'GET', '/products/{id}'],
    ['shop.example', '/products/1', 'PUT', '/products/{id}'],
    ['shop.example', '/products/1', 'POST', NO_METHOD],
    ['shop.example', '/products/', 'GET', NO_ROUTE],
    ['shop.example', '/products/1/', 'GET', NO_ROUTE],
    ['shop.example', '/products/1/x', 'GET', NO_ROUTE],
    ['shop.example', '/products', 'GET', NO_ROUTE],
    ['shop.example', '/Products/1', 'GET', NO_ROUTE],
    ['shop.example', '/static', 'GET', '/static/*'],
    ['shop.example', '/static/', 'GET', '/static/*'],
    ['shop.example', '/static/a/b', 'GET', '/static/*'],
    ['shop.example', '/staticx', 'GET', NO_ROUTE],
    ['shop.example', '/acme/orders', 'GET', '/{tenant}/orders'],
    ['shop.example', '/acme/orders', 'POST', NO_METHOD],
    ['shop.example', '/', 'GET', NO_ROUTE],
    ['shop.example', '//x/orders', 'GET', NO_ROUTE],
    ['shop.example', '*', 'OPTIONS', NO_ROUTE],
    ['any.example', '*', 'OPTIONS', NO_ROUTE],
    ['any.example', '/', 'GET', '/*'],
    ['any.example', '/acme/orders', 'GET', '/{tenant}/orders'],
    ['any.example', '/acme/orders', 'POST', '/*'],
    ['root.example', '/', 'GET', '/'],
    ['root.example', '/x', 'GET', NO_ROUTE],
    ['other.example', '/acme/orders', 'GET', '/{tenant}/orders'],
    ['SHOP.example:8080', '/products/1', 'GET', '/products/{id}'],
    ['[::1]:80', '/x', 'GET', '/*'],
    ['shop.example@evil', '/products/1', 'GET', 'bad host'],
    ['shop.example/x', '/products/1', 'GET', 'bad host'],
    ['shop.example:99999x', '/', 'GET', 'bad host'],
    ['a b', '/', 'GET', 'bad host'],
    ['', '/', 'GET', 'bad host'],
  ];
  for (const [host, path, method, expected] of cases) {
    it(`${method} ${host} ${path} → ${expected}`, () => {
      assert.equal(match(host, path, method), expected);
    });
  }

  it('takes the first match in the order of the file, also where it is the less special one', () => {
    const routes = router.routesOf('shop.example')!;
    assert.equal(match('shop.example', '/products/special', 'GET'), '/products/{id}');
    assert.equal(match('shop.example', '/products/special', 'POST'), '/products/special');
    assert.deepEqual(router.methodsFor(routes, '/products/1'), ['GET', 'DELETE', 'PUT']);
  });

  it('keeps answering rightly when clients make up more hosts than it remembers', () => {
    for (let i = 0; i < 100; i++) assert.equal(match(`h${i}.example`, '/x'), NO_ROUTE);
    assert.equal(match('shop.example', '/products/1'), '/products/{id}');
  });
});
