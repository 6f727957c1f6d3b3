/**
 * What a process that carries requests tells the admin application about itself, by topic. Read on
 * the loop that carries requests, so it copies counters and nothing more.
 */
import { configSnapshot } from './admin/config-snapshot.ts';
import type { HopFilter } from './admin/hop-filter.ts';
import { clustersSnapshot, processSnapshot } from './admin/process-snapshot.ts';
import type { DataPlane } from './data-plane.ts';
import { ledgerJson } from './ledger-json.ts';
import { limitsJson } from './limits-json.ts';
import type { Topics } from './workers/snapshots.ts';

export function snapshotTopics(plane: DataPlane): Topics {
  return {
    snapshots: {
      ledger: () => ledgerJson(plane.ledger()),
      clusters: () => clustersSnapshot(plane),
      limits: () => limitsJson(plane, plane.contexts()),
      config: () => configSnapshot(plane.part, plane.limits),
      metrics: () => processSnapshot(plane),
    },
    feeds: {
      hops: (filter, emit) => plane.recorder.feed.follow(filter as HopFilter, emit),
    },
  };
}
