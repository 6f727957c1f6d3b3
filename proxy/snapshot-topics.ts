/**
 * What a process that carries requests tells the admin application about itself, by topic. Read on
 * the loop that carries requests, so it copies counters and nothing more.
 */
import type { DataPlane } from './data-plane.ts';
import { ledgerJson } from './ledger-json.ts';
import type { Topics } from './workers/snapshots.ts';

export function snapshotTopics(plane: DataPlane): Topics {
  return {
    snapshots: {
      ledger: () => ledgerJson(plane.ledger()),
    },
    feeds: {},
  };
}
