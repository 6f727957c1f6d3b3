import { pipelineConservation } from '../../contract/pipeline-conservation.ts';
import { createFakeStore } from '../../helpers/fake-store.ts';

describe('Pipeline before a store in memory', () => {
  pipelineConservation(() => {
    const store = createFakeStore();
    return Promise.resolve({
      client: store.client,
      spanNames: () => Promise.resolve(store.column('spans', 'SpanName') as string[]),
      deadLettered: (reason) => {
        const items = store.column('dead_letters', 'Items') as (number | undefined)[];
        const reasons = store.column('dead_letters', 'Reason');
        return Promise.resolve(
          items.reduce((sum: number, n, i) => sum + (reasons[i] === reason ? (n ?? 0) : 0), 0),
        );
      },
      stop: () => Promise.resolve(),
    });
  });
});
