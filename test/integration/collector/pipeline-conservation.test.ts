import { pipelineConservation } from '../../contract/pipeline-conservation.ts';
import { startTestStore, type TestStore } from '../../helpers/store.ts';

describe('Pipeline before the embedded store', function () {
  this.timeout(60_000);
  let store: TestStore;
  before(async () => {
    store = await startTestStore();
  });
  after(async () => {
    await store.stop();
  });

  pipelineConservation(async () => {
    for (const table of ['spans', 'dead_letters']) {
      await store.client.command(`TRUNCATE TABLE ${table}`);
    }
    return {
      client: store.client,
      spanNames: async () => {
        const rows = await store.client.query<{ SpanName: string }>('SELECT SpanName FROM spans');
        return rows.map((row) => row.SpanName);
      },
      deadLettered: async (reason) => {
        const [row] = await store.client.query<{ n: number }>(
          'SELECT sum(Items) AS n FROM dead_letters WHERE Reason = {reason:String}',
          { reason },
        );
        return row!.n;
      },
      stop: () => Promise.resolve(),
    };
  });
});
