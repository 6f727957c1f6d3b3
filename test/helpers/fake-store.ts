/**
 * A store that keeps inserted blocks in memory. `behave` decides per insert: return to store the
 * block, throw to refuse it. Like the real one it makes a repeated insert with the same token a no-op.
 */
import type { StoreClient } from '../../store/client.ts';
import { AzimuthError } from '../../runtime/errors.ts';
import { readNativeBlock, type NativeBlock } from './native-block.ts';

interface StoredBlock {
  readonly table: string;
  readonly token: string | undefined;
  readonly block: NativeBlock;
}

export interface FakeStore extends Pick<StoreClient, 'insertNative'> {
  readonly stored: readonly StoredBlock[];
  /** Every insert that was tried, stored or not. */
  readonly tried: readonly StoredBlock[];
  behave: (attempt: StoredBlock) => void | Promise<void>;
  rows(table: string): number;
  /** A column of a table, over all blocks; undefined where a block left it out. */
  column(table: string, name: string): unknown[];
  readonly client: StoreClient;
}

export function createFakeStore(): FakeStore {
  const stored: StoredBlock[] = [];
  const tried: StoredBlock[] = [];
  const tokens = new Set<string>();
  const unused = (): never => {
    throw new Error('the fake store takes inserts only');
  };
  const store = {
    stored,
    tried,
    behave: (() => undefined) as FakeStore['behave'],
    insertNative: async (
      table: string,
      block: Uint8Array,
      options?: { readonly token?: string },
    ): Promise<void> => {
      const attempt = {
        table,
        token: options?.token,
        block: readNativeBlock(Buffer.from(block)),
      };
      tried.push(attempt);
      await store.behave(attempt);
      if (attempt.token !== undefined && tokens.has(attempt.token)) return;
      if (attempt.token !== undefined) tokens.add(attempt.token);
      stored.push(attempt);
    },
    rows: (table: string) =>
      stored.filter((b) => b.table === table).reduce((sum, b) => sum + b.block.rows, 0),
    column: (table: string, name: string) =>
      stored
        .filter((b) => b.table === table)
        .flatMap((b) => [
          ...(b.block.columns.get(name)?.values ?? new Array<undefined>(b.block.rows)),
        ]),
  };
  return Object.assign(store, {
    client: {
      database: 'azimuth',
      insertNative: store.insertNative,
      query: unused,
      text: unused,
      stream: unused,
      command: unused,
      inDatabase: unused,
      ping: () => Promise.resolve(true),
      close: () => Promise.resolve(),
    } satisfies StoreClient,
  });
}

export const storeAway = (): AzimuthError =>
  new AzimuthError('AZ_STORE_UNAVAILABLE', 'ClickHouse cannot be reached');
export const storeRefuses = (): AzimuthError =>
  new AzimuthError('AZ_STORE_REFUSED', 'ClickHouse answered code 33');
