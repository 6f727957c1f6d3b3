import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { ProxyPart } from '../../../../mesh/part.ts';
import { filesOf as pathsOf, withFiles } from '../../../../proxy/identity/files.ts';
import { AzimuthError } from '../../../../runtime/errors.ts';
import {
  certificate,
  filesOf,
  IDENTITY,
  meshTls,
  newAuthority,
} from '../../../helpers/identities.ts';
import { ProxyLab } from '../../../helpers/proxy-lab.ts';
import { scratchDir } from '../../../helpers/scratch-dir.ts';

const HOUR_MS = 3_600_000;

describe('withFiles', () => {
  const dir = scratchDir();

  /** The part of a sidecar of `orders`, whose files hold what they are given. */
  async function partWith(change: (files: Record<string, string>) => unknown): Promise<ProxyPart> {
    const authority = await newAuthority();
    const files = filesOf(authority.cert, { orders: await certificate(authority, 'orders') });
    await change(files);
    for (const [name, text] of Object.entries(files)) writeFileSync(join(dir.path, name), text);
    const at = (name: string): string => join(dir.path, name);
    return new ProxyLab({
      side: 'inbound',
      identity: IDENTITY,
      tls: meshTls('orders', {
        certificates: [{ server_names: [], cert: at('orders.pem'), key: at('orders.key') }],
        client_ca: at('ca.pem'),
      }),
    }).partAt(1);
  }

  it('gives the part the content of the files that it names', async () => {
    const part = await partWith(() => undefined);
    const paths = pathsOf(part);
    assert.equal(paths.length, 3);
    assert.deepEqual(Object.keys(withFiles(part).files!).sort(), [...paths].sort());
  });

  it('leaves a part that names none as it is', () => {
    const part = new ProxyLab({ side: 'inbound' }).partAt(1);
    assert.equal(withFiles(part), part);
  });

  const wrong: readonly [string, RegExp, (files: Record<string, string>) => unknown][] = [
    [
      'a certificate that is over',
      /orders\.pem is over since 20/,
      async (files) => {
        const { cert, key } = await certificate(await newAuthority(), 'orders', {
          fromMs: Date.now() - 2 * HOUR_MS,
          toMs: Date.now() - HOUR_MS,
        });
        Object.assign(files, { 'orders.pem': cert, 'orders.key': key });
      },
    ],
    [
      'the certificate of somebody else',
      /orders\.pem is not for spiffe:\/\/shop\.test\/ns\/shop\/sa\/orders \(it names URI:spiffe:\/\/shop\.test\/ns\/shop\/sa\/edge\)/,
      async (files) => {
        const { cert, key } = await certificate(await newAuthority(), 'edge');
        Object.assign(files, { 'orders.pem': cert, 'orders.key': key });
      },
    ],
    [
      'a key of another certificate',
      /orders\.key is not the key of .*orders\.pem/,
      async (files) => {
        files['orders.key'] = (await certificate(await newAuthority(), 'orders')).key;
      },
    ],
    [
      'a key that is none',
      /orders\.key holds no private key in PEM form/,
      (files) => (files['orders.key'] = 'secret'),
    ],
    [
      'a bundle that is none',
      /ca\.pem holds no certificate in PEM form/,
      (files) => (files['ca.pem'] = 'nothing'),
    ],
    [
      'a certificate that is none',
      /orders\.pem holds no certificate in PEM form/,
      (files) => (files['orders.pem'] = '-----BEGIN CERTIFICATE-----\nAA\n'),
    ],
  ];
  for (const [what, message, change] of wrong) {
    it(`refuses ${what}, and shows no key`, async () => {
      const part = await partWith(change);
      assert.throws(
        () => withFiles(part),
        (error) => {
          assert.ok(error instanceof AzimuthError);
          assert.equal(error.code, 'AZ_CONFIG_INVALID');
          assert.match(error.message, message);
          assert.doesNotMatch(error.message, /secret|PRIVATE/);
          return true;
        },
      );
    });
  }

  it('names every file that cannot be read', async () => {
    const part = await partWith((files) => {
      delete files['orders.key'];
      delete files['ca.pem'];
    });
    assert.throws(() => withFiles(part), /orders\.key cannot be read[^]*ca\.pem cannot be read/);
  });
});
