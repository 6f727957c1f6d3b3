/**
 * `azimuth analytics`: the process that publishes minutes. Runs the rollup each minute and answers
 * the API and the health routes. Two of them at once do no harm and give one result.
 */
import { parseArgs } from 'node:util';
import { createAnalyticsApi } from '../../analytics/api.ts';
import { ClosedTraffic } from '../../analytics/closed-traffic.ts';
import { createAttributionJob } from '../../analytics/jobs/attribution.ts';
import type { OnProgress } from '../../analytics/jobs/progress.ts';
import { runRollup } from '../../analytics/jobs/rollup.ts';
import { createScheduler, realTimers, type JobOutcome } from '../../analytics/scheduler.ts';
import { analyticsPart } from '../../mesh/parts.ts';
import { Lifecycle, runUntilSignal } from '../../runtime/lifecycle.ts';
import { createLog } from '../../runtime/log.ts';
import { createStoreClient } from '../../store/client.ts';
import type { Command } from '../command.ts';
import { meshFromArgs } from '../mesh-option.ts';

export const command: Command = {
  help: `
Usage: azimuth analytics [--mesh FILE] [--check]
       azimuth analytics backfill [options]      the same as "azimuth backfill"

Two jobs, each minute: rollup publishes closed minutes of traffic (31 s after their end) and sums of
whole hours; attribution splits the requests of closed minutes (about 90 s after their end). Rows
that come late open their minute again. After a pause both catch up, oldest minute first; they may
be killed at any time and go on where they were. Two processes at once give one equal result.

Serves on analytics.host and port of the mesh file:
  /                 the live page
  /api/…            the reports, as "azimuth report" makes them (all of it: /openapi.json):
                    /api/gateway-vs-mesh?last=5m&perspective=split, /api/attribution?last=1h
  /metrics          lag, progress, runs and reopened minutes of each job; requests, legs, durations
                    and own time of closed minutes by direction, role and perspective
  /readyz           ok, or which job readers must wait for, and how far it is
  /healthz

  --mesh FILE   the mesh file: section analytics (host, port, reader: the store's user of the API)
                and store
  --check       validate, open nothing, exit
`,
  async run(args) {
    if (args[0] === 'backfill') {
      const { command: backfill } = await import('./backfill.ts');
      return backfill.run(args.slice(1));
    }
    const { values } = parseArgs({
      args: [...args],
      options: { mesh: { type: 'string' }, check: { type: 'boolean', default: false } },
    });
    const part = analyticsPart(meshFromArgs(values));
    const address = `http://${part.host}:${part.port}`;
    if (values.check) {
      process.stdout.write(`analytics: ok, would serve ${address} from ${part.store.url}\n`);
      return 0;
    }
    const log = createLog({ fields: { process: 'analytics' } });
    const store = createStoreClient(part.store);
    const readingStore = createStoreClient(part.readingStore);
    const nowMs = (): number => Date.now();
    const { retention_days: retentionDays } = part.store;
    const settings = { store, log, retentionDays, nowMs };
    const attribution = createAttributionJob(settings);
    const closedTraffic = new ClosedTraffic(settings);
    const rollup = async (onProgress: OnProgress): Promise<JobOutcome> => {
      await closedTraffic.begin();
      const { built: published, ...outcome } = await runRollup({ ...settings, onProgress });
      await closedTraffic.read();
      return { published, ...outcome };
    };
    const jobs = [
      { name: 'rollup', run: rollup },
      { name: 'attribution', run: (told: OnProgress) => attribution.run(told) },
    ].map((job) => createScheduler({ ...job, timers: realTimers, log }));
    const api = createAnalyticsApi({
      host: part.host,
      port: part.port,
      store: readingStore,
      retentionDays,
      jobs,
      closedTraffic,
      nowMs,
    });
    const lifecycle = new Lifecycle(log);
    lifecycle.add({ name: 'store client', stop: () => store.close() });
    lifecycle.add({ name: 'reading store client', stop: () => readingStore.close() });
    for (const job of jobs) lifecycle.add(job);
    lifecycle
      .add(api)
      .add({ name: 'announcement', start: () => log.info('analytics ready', { address }) });
    return runUntilSignal(lifecycle, log);
  },
};
