import assert from 'node:assert/strict';
import { spiffeIdIn, takesId } from '../../../../proxy/identity/spiffe.ts';

const ID = 'spiffe://shop.test/ns/shop/sa/orders';

describe('spiffeIdIn', () => {
  for (const names of [`URI:${ID}`, `DNS:orders, URI:${ID}`, `URI:${ID}, IP Address:127.0.0.1`]) {
    it(`reads ${names}`, () => assert.equal(spiffeIdIn(names, 'shop.test'), ID));
  }

  const none: readonly [string, string | undefined][] = [
    ['no name at all', undefined],
    ['no URI name', 'DNS:orders'],
    ['two URI names', `URI:${ID}, URI:${ID}`],
    ['a second URI name that is quoted', `URI:${ID}, URI:"spiffe://shop.test/a\\u002cb"`],
    ['an id inside a quoted name of another kind', `DNS:"x, URI:${ID}"`],
    ['a quoted id', `URI:"${ID}"`],
    ['another trust domain', 'URI:spiffe://shop.test.evil/ns/shop/sa/orders'],
    ['a trust domain that only ends like ours', 'URI:spiffe://my-shop.test/ns/shop/sa/orders'],
    ['capitals in the trust domain', 'URI:spiffe://Shop.test/ns/shop/sa/orders'],
    ['another scheme', 'URI:https://shop.test/ns/shop/sa/orders'],
    ['a port', 'URI:spiffe://shop.test:1/ns/shop/sa/orders'],
    ['a user', 'URI:spiffe://a@shop.test/ns/shop/sa/orders'],
    ['a query', `URI:${ID}?x`],
    ['a fragment', `URI:${ID}#x`],
    ['an escape', 'URI:spiffe://shop.test/ns/shop/sa/%6frders'],
    ['no path', 'URI:spiffe://shop.test'],
    ['a slash at the end', `URI:${ID}/`],
    ['an empty segment', 'URI:spiffe://shop.test/ns//sa/orders'],
    ['a dot segment', 'URI:spiffe://shop.test/ns/shop/../sa/orders'],
    ['more than 2,048 bytes', `URI:${ID}${'x'.repeat(2_048)}`],
  ];
  for (const [what, names] of none) {
    it(`finds none in ${what}`, () => assert.equal(spiffeIdIn(names, 'shop.test'), undefined));
  }
});

describe('takesId', () => {
  it('takes the id itself, or any rest behind a prefix', () => {
    assert.ok(takesId(ID, ID));
    assert.ok(takesId('spiffe://shop.test/ns/shop/*', ID));
    assert.ok(!takesId('spiffe://shop.test/ns/shop/sa/order', ID));
    assert.ok(!takesId('spiffe://shop.test/ns/other/*', ID));
  });
});
