/** The store's client over TLS: the embedded store behind a TLS front with a certificate made here. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { connect, type AddressInfo } from 'node:net';
import { createServer, type Server } from 'node:tls';
import { createStoreClient, type StoreClient } from '../../../store/client.ts';
import { makeCertificates, type Certificates } from '../../helpers/certificates.ts';
import { startTestStore, type TestStore } from '../../helpers/store.ts';

describe('store client over TLS', function () {
  this.timeout(60_000);
  let certificates: Certificates | undefined;
  let store: TestStore | undefined;
  let front: Server | undefined;
  let clients: StoreClient[] = [];

  before(async function () {
    certificates = makeCertificates(this);
    store = await startTestStore();
    const { port } = new URL(store.url);
    const { cert, key } = certificates.server;
    front = createServer(
      {
        cert: readFileSync(cert),
        key: readFileSync(key),
        ca: readFileSync(certificates.ca),
        requestCert: true,
        // With TLS 1.3 a refusal would come after the client's handshake; here we see who it is.
        rejectUnauthorized: false,
      },
      (socket) => {
        if (!socket.authorized) {
          socket.destroy();
          return;
        }
        const upstream = connect(Number(port), '127.0.0.1');
        socket.pipe(upstream).pipe(socket);
        for (const one of [socket, upstream]) one.on('error', () => one.destroy());
      },
    ).listen(0, '127.0.0.1');
    front.on('tlsClientError', () => undefined);
    await once(front, 'listening');
  });
  afterEach(async () => {
    for (const client of clients) await client.close();
    clients = [];
  });
  after(async () => {
    front?.close();
    await store?.stop();
    certificates?.remove();
  });

  const open = (tls: { ca: string; cert?: string; key?: string } | undefined): StoreClient => {
    const { user, password, database } = store!;
    const url = `https://127.0.0.1:${(front!.address() as AddressInfo).port}`;
    const client = createStoreClient({ url, user, password, database, tls });
    clients.push(client);
    return client;
  };

  it('reads with the authority and the certificate that it was given', async () => {
    const client = open({ ca: certificates!.ca, ...certificates!.client });
    assert.equal(await client.ping(), true);
    assert.deepEqual(await client.query('SELECT 1 AS one'), [{ one: 1 }]);
  });

  it('calls a server of another authority, or one that turns it away, unavailable', async () => {
    const { ca, otherCa, client } = certificates!;
    for (const tls of [undefined, { ca: otherCa, ...client }, { ca }]) {
      await assert.rejects(open(tls).query('SELECT 1'), { code: 'AZ_STORE_UNAVAILABLE' });
    }
  });

  it('names a file that cannot be read', () => {
    assert.throws(() => open({ ca: '/nowhere/ca.pem' }), {
      code: 'AZ_CONFIG_INVALID',
      message: /tls\.ca: the file \/nowhere\/ca\.pem cannot be read/,
    });
  });
});
