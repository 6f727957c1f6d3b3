import assert from 'node:assert/strict';
import { get, withLab } from '../../helpers/proxy-lab.ts';

/** Sends fields to an edge with so many trusted proxies; returns what goes upstream, and the record. */
async function forward(
  trustedHops: number,
  ...fields: string[]
): Promise<{ of: (name: string) => string | undefined; client: unknown }> {
  let upstream = '';
  let client: unknown;
  await withLab({ trustedHops }, async (lab) => {
    await lab.exchange(get('/', ...fields), 'ok');
    client = (await lab.hop()).attribute('client.address');
    upstream = lab.upstream.peers[0]!.received;
  });
  return {
    of: (name) => new RegExp(`\r\n${name}: (.*)\r\n`).exec(upstream)?.[1],
    client,
  };
}

describe('trusted_hops', () => {
  const cases: readonly [string, number, string[], string, string][] = [
    ['none: what the client says is left out', 0, ['9.9.9.9'], '127.0.0.1', '127.0.0.0'],
    [
      'one: the last entry is the client',
      1,
      ['6.6.6.6, 203.0.113.7'],
      '203.0.113.7, 127.0.0.1',
      '203.0.113.0',
    ],
    [
      'two: the last but one is',
      2,
      ['6.6.6.6, 203.0.113.7, 10.0.0.2'],
      '203.0.113.7, 10.0.0.2, 127.0.0.1',
      '203.0.113.0',
    ],
    [
      'entries of several fields count as one list',
      2,
      ['6.6.6.6, 203.0.113.7', '10.0.0.2'],
      '203.0.113.7, 10.0.0.2, 127.0.0.1',
      '203.0.113.0',
    ],
    [
      'fewer entries than proxies: the first is',
      3,
      ['203.0.113.7'],
      '203.0.113.7, 127.0.0.1',
      '203.0.113.0',
    ],
    ['no entry: the socket is', 2, [], '127.0.0.1', '127.0.0.0'],
    [
      'what is no address ends the belief',
      2,
      ['203.0.113.7, unknown, 10.0.0.2'],
      '10.0.0.2, 127.0.0.1',
      '10.0.0.0',
    ],
    [
      'an address with a port is one',
      1,
      ['203.0.113.7:4711'],
      '203.0.113.7, 127.0.0.1',
      '203.0.113.0',
    ],
    [
      'IPv6 with a port is one',
      1,
      ['[2001:db8:1:2::7]:443'],
      '2001:db8:1:2::7, 127.0.0.1',
      '2001:db8:1::',
    ],
    [
      'an IPv4 address in IPv6 is itself',
      1,
      ['::ffff:203.0.113.7'],
      '203.0.113.7, 127.0.0.1',
      '203.0.113.0',
    ],
  ];
  for (const [what, hops, values, expected, recorded] of cases) {
    it(what, async () => {
      const { of, client } = await forward(hops, ...values.map((v) => `x-forwarded-for: ${v}`));
      assert.equal(of('x-forwarded-for'), expected);
      assert.equal(client, recorded);
    });
  }

  it('believes scheme and host of a trusted proxy, where they are such', async () => {
    const said = ['x-forwarded-proto: HTTPS', 'x-forwarded-host: shop.test:8443'];
    const { of } = await forward(1, ...said);
    assert.equal(of('x-forwarded-proto'), 'https');
    assert.equal(of('x-forwarded-host'), 'shop.test:8443');
    const odd = await forward(1, 'x-forwarded-proto: gopher', 'x-forwarded-host: a b');
    assert.equal(odd.of('x-forwarded-proto'), 'http');
    assert.equal(odd.of('x-forwarded-host'), 'shop.example');
    const nobody = await forward(0, ...said);
    assert.equal(nobody.of('x-forwarded-proto'), 'http');
    assert.equal(nobody.of('x-forwarded-host'), 'shop.example');
  });

  it('says the same in Forwarded, where the client sent one', async () => {
    const fields = ['x-forwarded-for: 2001:db8::7', 'forwarded: for=evil;by=evil'];
    const { of } = await forward(1, ...fields);
    assert.equal(
      of('forwarded'),
      'for="[2001:db8::7]";proto=http;host="shop.example", for=127.0.0.1',
    );
    assert.equal((await forward(1, fields[0]!)).of('forwarded'), undefined);
  });
});
