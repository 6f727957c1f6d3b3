import assert from 'node:assert/strict';
import fc from 'fast-check';
import type { Route } from '../../../mesh/part.ts';
import { parseTemplate } from '../../../mesh/route-template.ts';
import { NO_METHOD, NO_ROUTE, Router, type RequestFields } from '../../../proxy/router.ts';

const route = (
  template: string,
  hosts: string[] = [],
  methods: string[] = [],
  asks: Pick<Route, 'headers' | 'query'> = {},
): Route => {
  const parsed = parseTemplate(template);
  assert.ok(parsed.ok);
  return {
    template,
    ...asks,
    hosts,
    methods,
    segments: parsed.segments,
    response_timeout_ms: 1000,
    upgrades: [],
    cluster: { name: 'c', endpoints: [], meshed: true, role: 'workload', connect_timeout_ms: 1000 },
  };
};
/** Every template of three segments from a small alphabet. */
const SHAPES = ['a', 'b', '{x}']
  .flatMap((first) => ['a', 'b', '{y}', '*'].map((second) => `/${first}/${second}`))
  .flatMap((two) => (two.endsWith('*') ? [two] : [two, `${two}/*`, `${two}/c`]))
  .map((template) => route(template));
const arbitraryPath = fc
  .array(fc.constantFrom('a', 'b', 'c'), { minLength: 1, maxLength: 4 })
  .map((segments) => `/${segments.join('/')}`);

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
const fieldsOf = (
  headers: Readonly<Record<string, string>>,
  query: Readonly<Record<string, string>> = {},
): RequestFields => ({ header: (name) => headers[name], query: (name) => query[name] });

const matchIn = (
  among: Router<Route>,
  host: string,
  path: string,
  method = 'GET',
  fields = fieldsOf({}),
): string => {
  const routes = among.routesOf(host);
  if (routes === undefined) return 'bad host';
  const found = among.match(routes, path, method, fields);
  return typeof found === 'string' ? found : found.template;
};

const match = (host: string, path: string, method = 'GET'): string =>
  matchIn(router, host, path, method);

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
    ['any.example', '/acme/orders', 'GET', '/*'],
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

  it('takes the more special path, whatever the order of the file', () => {
    const routes = router.routesOf('shop.example')!;
    assert.equal(match('shop.example', '/products/special', 'GET'), '/products/special');
    assert.equal(match('shop.example', '/products/special', 'POST'), '/products/special');
    assert.deepEqual(router.methodsFor(routes, '/products/1'), ['GET', 'DELETE', 'PUT']);
  });

  describe('precedence', () => {
    const hosts = new Router(
      [
        route('/any/*'),
        route('/a/*', ['*.example.com']),
        route('/b/*', ['*.eu.example.com']),
        route('/c', ['shop.eu.example.com']),
        route('/*', ['*.eu.example.com']),
        route('/c', ['*.example.com']),
      ],
      10,
    );
    const byHost: readonly [string, string, string][] = [
      ['shop.eu.example.com', '/c', '/c'],
      ['shop.eu.example.com', '/b/1', '/b/*'],
      // A longer wildcard comes before the better path of a shorter one.
      ['other.eu.example.com', '/c', '/*'],
      ['other.eu.example.com', '/a/1', '/*'],
      ['a.b.example.com', '/a/1', '/a/*'],
      ['us.example.com', '/c', '/c'],
      ['us.example.com', '/any/1', '/any/*'],
      // A wildcard does not take the name that it stands on.
      ['example.com', '/a/1', NO_ROUTE],
      ['badexample.com', '/c', NO_ROUTE],
    ];
    for (const [host, path, expected] of byHost) {
      it(`puts the host first: ${host}${path} → ${expected}`, () => {
        assert.equal(matchIn(hosts, host, path), expected);
      });
    }

    it('goes by host, path, method, headers, query, and then by the order of the file', () => {
      const special: Route[] = [
        route('/*'),
        route('/x/*'),
        route('/x/{a}/*'),
        route('/x/{a}/{b}'),
        route('/x/{a}/c'),
        route('/x/b/*'),
        route('/x/b/c'),
        route('/x/b/c', [], [], { query: [{ name: 'q', value: '1' }] }),
        route('/x/b/c', [], [], { headers: [{ name: 'canary', value: 'yes' }] }),
        route('/x/b/c', [], [], {
          headers: [
            { name: 'canary', value: 'yes' },
            { name: 'tenant', value: 'a' },
          ],
        }),
        route('/x/b/c', [], ['GET']),
        route('/*', ['shop.example']),
      ].map((one, index) => ({ ...one, template: `${index} ${one.template}` }));
      const fields = fieldsOf({ canary: 'yes', tenant: 'a' }, { q: '1' });
      // Each turn the winner is taken away: the next in rank must follow.
      const won: number[] = [];
      for (let left = special; left.length > 0;) {
        const winner = matchIn(new Router(left, 10), 'shop.example', '/x/b/c', 'GET', fields);
        won.push(Number.parseInt(winner, 10));
        left = left.filter(({ template }) => template !== winner);
      }
      assert.deepEqual(won, [11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0]);
    });

    it('does not depend on the order of routes of different rank', () => {
      fc.assert(
        fc.property(
          fc.shuffledSubarray(SHAPES, { minLength: 2 }),
          arbitraryPath,
          (routes, path) => {
            const sorted = [...routes].sort((a, b) => a.template.localeCompare(b.template));
            assert.equal(
              matchIn(new Router(routes, 10), 'h', path),
              matchIn(new Router(sorted, 10), 'h', path),
            );
          },
        ),
      );
    });

    it('takes a route only where headers and query are exactly as it asks', () => {
      const among = new Router(
        [
          route('/old'),
          route('/new', [], ['POST'], { headers: [{ name: 'v', value: '2' }] }),
          route('/new', [], ['GET']),
        ],
        10,
      );
      assert.equal(matchIn(among, 'h', '/new', 'POST', fieldsOf({ v: '2' })), '/new');
      assert.equal(matchIn(among, 'h', '/new', 'POST', fieldsOf({ v: '22' })), NO_METHOD);
      assert.equal(matchIn(among, 'h', '/new', 'PUT', fieldsOf({ v: '2' })), NO_METHOD);
    });
  });

  it('keeps answering rightly when clients make up more hosts than it remembers', () => {
    for (let i = 0; i < 100; i++) assert.equal(match(`h${i}.example`, '/x'), NO_ROUTE);
    assert.equal(match('shop.example', '/products/1'), '/products/{id}');
  });
});
