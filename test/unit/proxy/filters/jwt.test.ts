import assert from 'node:assert/strict';
import { createHmac } from 'node:crypto';
import { exportSPKI, importJWK, type CryptoKey } from 'jose';
import type { JwtPart } from '../../../../mesh/functions.ts';
import type { FilteredRequest, Outcome } from '../../../../proxy/filters/filter.ts';
import { JwtFilter } from '../../../../proxy/filters/jwt.ts';
import { KeySet } from '../../../../proxy/filters/key-set.ts';
import { silentLog } from '../../../../runtime/log.ts';
import { functionsOf } from '../../../helpers/functions.ts';
import {
  AUDIENCE,
  ISSUER,
  issuerKey,
  KeyServer,
  NOW_S,
  token,
  type IssuerKey,
} from '../../../helpers/issuer.ts';

const base64 = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString('base64url');

describe('JwtFilter', () => {
  let key: IssuerKey;
  let rsa: IssuerKey;
  let stranger: IssuerKey;
  let server: KeyServer;
  let keys: KeySet;
  let nowS = NOW_S;

  const part = (more: Record<string, unknown> = {}): JwtPart =>
    functionsOf({ jwt: { jwks_url: server.url, issuer: ISSUER, audiences: [AUDIENCE], ...more } })
      .jwt!;
  const make = (more?: Record<string, unknown>): JwtFilter => {
    keys.close();
    keys = new KeySet(part(more), silentLog);
    return new JwtFilter(part(more), keys, () => nowS * 1000);
  };
  const look = (filter: JwtFilter, authorization?: string): Outcome | Promise<Outcome> =>
    filter.look({
      header: (name: string) => (name === 'authorization' ? authorization : undefined),
    } as FilteredRequest);
  /** What the client is told; '' when it is let in. */
  const verdict = async (filter: JwtFilter, jwt: string): Promise<string> => {
    const outcome = await look(filter, `Bearer ${jwt}`);
    if (outcome?.kind !== 'refuse') return '';
    assert.equal(outcome.failure, 'unauthenticated');
    return /error_description="(.*)"/.exec(outcome.lines)?.[1] ?? 'no reason';
  };

  before(async () => {
    key = await issuerKey('ec');
    rsa = await issuerKey('rsa', 'RS256');
    stranger = await issuerKey('ec');
    server = await new KeyServer(key, rsa).start();
  });
  beforeEach(() => {
    nowS = NOW_S;
    keys = new KeySet(part(), silentLog);
  });
  afterEach(() => keys.close());
  after(() => server.stop());

  it('lets in who has a token that holds, by each allowed algorithm', async () => {
    assert.equal(await verdict(make(), await token(key)), '');
    assert.equal(await verdict(make(), await token(rsa)), '');
    assert.equal(await look(make(), `bEARER  ${await token(key)}`), undefined);
  });

  it('asks for a token without an error where none was sent, as RFC 6750 has it', () => {
    for (const value of [undefined, '', 'Basic dXNlcjpwYXNz']) {
      assert.deepEqual(look(make(), value), {
        kind: 'refuse',
        failure: 'unauthenticated',
        lines: 'www-authenticate: Bearer realm="azimuth"\r\n',
      });
    }
  });

  for (const [what, value] of [
    ['no JWT', 'Bearer abc'],
    ['a token without a signature part', 'Bearer e30.e30'],
    ['two tokens', 'Bearer e30.e30.e30,Bearer e30.e30.e30'],
    ['an encrypted token', 'Bearer a.b.c.d.e'],
    ['nothing', 'Bearer'],
  ]) {
    it(`refuses ${what} without reading it`, () => {
      const outcome = look(make(), value);
      assert.ok(!(outcome instanceof Promise) && outcome?.kind === 'refuse');
      assert.match(outcome.lines, /error="invalid_token"/);
    });
  }

  it('refuses times, issuer and audience that are not as they must be, and says which', async () => {
    const filter = make({ leeway_s: 0 });
    const told: Record<string, string> = {};
    const wrong: Record<string, Record<string, unknown>> = {
      expired: { exp: NOW_S },
      early: { nbf: NOW_S + 1 },
      issuer: { iss: 'https://other.example' },
      audience: { aud: 'other' },
      'no end': { exp: undefined },
      'no audience': { aud: undefined },
    };
    for (const [name, claims] of Object.entries(wrong)) {
      told[name] = await verdict(filter, await token(key, claims));
    }
    assert.deepEqual(told, {
      expired: 'the token has expired',
      early: 'the claim nbf is not as it must be',
      issuer: 'the claim iss is not as it must be',
      audience: 'the claim aud is not as it must be',
      'no end': 'the claim exp is not as it must be',
      'no audience': 'the claim aud is not as it must be',
    });
  });

  it('forgives clocks the leeway, and not a second more', async () => {
    const filter = make({ leeway_s: 60 });
    const jwt = await token(key, { nbf: NOW_S + 60, exp: NOW_S + 120 });
    assert.equal(await verdict(filter, jwt), '');
    nowS = NOW_S + 179;
    assert.equal(await verdict(filter, jwt), '');
    nowS = NOW_S + 180;
    assert.equal(await verdict(filter, jwt), 'the token has expired');
    nowS = NOW_S - 1;
    assert.equal(await verdict(filter, jwt), 'the claim nbf is not as it must be');
  });

  it('refuses alg none in every spelling', async () => {
    const [, payload] = (await token(key)).split('.');
    for (const alg of ['none', 'None', 'NONE', 'nOnE']) {
      const head = base64({ alg, kid: 'ec' });
      const told = await verdict(make(), `${head}.${payload!}.`);
      assert.ok(told !== '', alg);
    }
  });

  it('refuses a token signed with the public key as if it were a shared secret', async () => {
    const spki = await exportSPKI(
      (await importJWK(rsa.jwk, 'RS256', { extractable: true })) as CryptoKey,
    );
    const [, payload] = (await token(rsa)).split('.');
    for (const secret of [spki, spki.trimEnd(), JSON.stringify(rsa.jwk)]) {
      const signed = `${base64({ alg: 'HS256', kid: 'rsa' })}.${payload!}`;
      const signature = createHmac('sha256', secret).update(signed).digest('base64url');
      assert.equal(await verdict(make(), `${signed}.${signature}`), 'the algorithm is not allowed');
    }
  });

  it('refuses an algorithm that is not on the list, and one that the key is not for', async () => {
    const filter = make({ algorithms: ['RS256'] });
    assert.equal(await verdict(filter, await token(key)), 'the algorithm is not allowed');
    const [, payload, signature] = (await token(key)).split('.');
    const head = base64({ alg: 'RS256', kid: 'ec' });
    assert.equal(
      await verdict(filter, `${head}.${payload!}.${signature!}`),
      'the key is not known',
    );
  });

  it('refuses keys that the token brings along', async () => {
    const jwt = await token(stranger, {}, { jwk: stranger.jwk, jku: 'http://127.0.0.1:1/keys' });
    assert.equal(await verdict(make(), jwt), 'the signature does not hold');
  });

  it('refuses another signature, another payload, and a key that nobody published', async () => {
    const filter = make();
    assert.equal(await verdict(filter, await token(stranger)), 'the signature does not hold');
    const [head, , signature] = (await token(key)).split('.');
    const forged = base64({ iss: ISSUER, aud: AUDIENCE, exp: NOW_S + 600, azp: 'admin' });
    const told = await verdict(filter, `${head!}.${forged}.${signature!}`);
    assert.equal(told, 'the signature does not hold');
    assert.equal(await verdict(filter, await token({ ...key, kid: 'zz' })), 'the key is not known');
  });

  it('refuses a token that asks for an extension which nobody knows', async () => {
    // jose does not sign such a token, so the header is made by hand: refused before the signature.
    const [, payload, signature] = (await token(key)).split('.');
    const head = base64({ alg: 'ES256', kid: 'ec', crit: ['x'], x: 1 });
    assert.equal(
      await verdict(make(), `${head}.${payload!}.${signature!}`),
      'the token is not valid',
    );
  });

  it('checks a signature once, and the times each time', async () => {
    const filter = make();
    const jwt = await token(key);
    assert.ok(look(filter, `Bearer ${jwt}`) instanceof Promise);
    await look(filter, `Bearer ${jwt}`);
    assert.equal(look(filter, `Bearer ${jwt}`), undefined);
    nowS = NOW_S + 660;
    assert.equal(await verdict(filter, jwt), 'the token has expired');
  });

  it('forgets what it checked when the keys change', async () => {
    const filter = make();
    const jwt = await token(key);
    await look(filter, `Bearer ${jwt}`);
    server.publish(rsa);
    try {
      await keys.refresh();
      assert.equal(await verdict(filter, jwt), 'the key is not known');
    } finally {
      server.publish(key, rsa);
    }
  });

  it('names the consumer by a claim, and refuses a token without it', async () => {
    const filter = make({ consumer_claim: 'azp' });
    const named = async (azp: unknown): Promise<unknown> => {
      const jwt = await token(key, { azp });
      const first = await look(filter, `Bearer ${jwt}`);
      // The remembered answer is the same.
      assert.deepEqual(await look(filter, `Bearer ${jwt}`), first);
      return first?.kind === 'consumer' ? first.name : first?.kind;
    };
    assert.equal(await named('mobile-app'), 'mobile-app');
    assert.equal(await named('a b\r\nx-admin: 1%é'), 'a%20b%0D%0Ax-admin:%201%25%C3%A9');
    for (const azp of [undefined, '', 7, ['a'], 'x'.repeat(129)]) {
      assert.equal(await named(azp), 'refuse', String(azp));
    }
  });
});
