import { randomBytes } from 'node:crypto';
import { createStoreClient } from '../../../store/client.ts';
import { storeContract } from '../../contract/store.ts';
import { startTestStore } from '../../helpers/store.ts';

describe('the embedded store', () => {
  storeContract(() => startTestStore({ migrated: false }));
});

const server = process.env['CLICKHOUSE_URL'];

(server === undefined ? describe.skip : describe)(
  'a ClickHouse server (CLICKHOUSE_URL=http://user:password@host:port)',
  () => {
    storeContract(async () => {
      const { username, password, origin } = new URL(server ?? '');
      const access = {
        url: origin,
        user: username === '' ? 'default' : decodeURIComponent(username),
        password: decodeURIComponent(password),
        database: `azimuth_test_${randomBytes(4).toString('hex')}`,
      };
      const client = createStoreClient(access);
      return await Promise.resolve({
        ...access,
        client,
        async stop() {
          await client.inDatabase('system').command(`DROP DATABASE IF EXISTS ${access.database}`);
          await client.close();
        },
      });
    });
  },
);
