import assert from 'node:assert/strict';
import { lintText } from '../../../helpers/lint-mesh.ts';

const retrying = (attempts: number, more = ''): string =>
  `retry: { attempts_max: ${attempts}${more} }`;

/** Places and figures of `retries-multiply`, shortened. */
const multiplied = (text: string): string[] =>
  lintText(text)
    .filter(({ rule }) => rule === 'retries-multiply')
    .map(({ places, consequence }) => {
      const figures = /^(.*) for one request/.exec(consequence)![1]!;
      return `${figures}: ${places.map(({ line }) => line).join(', ')}`;
    });

const mesh = (edge: string, catalog: string, more = ''): string => `gateways:
  - name: edge
    routes:
      - { path: "/api/*", to: web, ${edge} }
workloads:
  - { name: web, kind: bff, address: "127.0.0.1:9101" }
  - name: catalog
    address: "127.0.0.1:9102"
    routes:
      - { path: "/items", ${catalog} }
${more}`;

describe('retries that multiply', () => {
  it('are the product of both, each with its line', () => {
    assert.deepEqual(multiplied(mesh(retrying(3), retrying(4))), [
      '3 x 4 = up to 12 attempts at catalog: 4, 10',
    ]);
  });

  it('are none where one of both is left out, or repeats only what was never received', () => {
    assert.deepEqual(multiplied(mesh('methods: [GET]', retrying(3))), []);
    assert.deepEqual(multiplied(mesh(retrying(3), 'methods: [GET]')), []);
    const connectOnly = retrying(3, ', on: [connect_failure]');
    assert.deepEqual(multiplied(mesh(connectOnly, retrying(3))), []);
    const postOnly = `methods: [POST], ${retrying(3)}`;
    assert.deepEqual(multiplied(mesh(postOnly, retrying(3))), []);
    assert.deepEqual(multiplied(mesh(retrying(3), postOnly)), []);
  });

  it('count externals that a BFF calls', () => {
    const external = `externals:
  - { name: tax, hosts: [tax.example], address: "10.0.0.1:80", ${retrying(2)} }
`;
    assert.deepEqual(multiplied(mesh(retrying(3), 'methods: []', external)), [
      '3 x 2 = up to 6 attempts at tax: 4, 12',
    ]);
  });

  it('follow allow-lists further in, and name each longer chain', () => {
    const chain = `  - name: stock
    address: "127.0.0.1:9103"
    routes: [{ path: "/stock", allow: [catalog], ${retrying(2)} }]
identity: { trust_domain: shop.local, dir: certs }
`;
    assert.deepEqual(multiplied(mesh(retrying(3), retrying(4), chain)), [
      '3 x 4 = up to 12 attempts at catalog: 4, 10',
      '3 x 4 x 2 = up to 24 attempts at stock: 4, 10, 13',
    ]);
    // Without a retry at the edge the rest still multiplies, for every request of the BFF.
    assert.deepEqual(multiplied(mesh('methods: []', retrying(4), chain)), [
      '4 x 2 = up to 8 attempts at stock: 10, 13',
    ]);
  });

  it('do not reach a service whose list leaves the BFF out', () => {
    const other = `  - { name: batch, kind: bff, address: "127.0.0.1:9104" }
identity: { trust_domain: shop.local, dir: certs }
`;
    const closed = `allow: [batch], ${retrying(3)}`;
    assert.deepEqual(multiplied(mesh(retrying(3), closed, other)), []);
  });

  it('end where services name each other in a circle', () => {
    const circle = `gateways:
  - { name: edge, routes: [{ path: "/*", to: a, ${retrying(2)} }] }
identity: { trust_domain: shop.local, dir: certs }
workloads:
  - { name: a, address: "127.0.0.1:9101", routes: [{ path: "/a", allow: [edge, b], ${retrying(2)} }] }
  - { name: b, address: "127.0.0.1:9102", routes: [{ path: "/b", allow: [a], ${retrying(2)} }] }
`;
    assert.deepEqual(multiplied(circle), ['2 x 2 = up to 4 attempts at b: 2, 6']);
  });
});
