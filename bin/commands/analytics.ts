/**
 * `azimuth analytics`: the process that publishes minutes. Runs the rollup each minute and answers
 * the API and the health routes. Two of them at once do no harm and give one result.
 */
import { parseArgs } from 'node:util';
import { createAnalyticsApi } from '../../analytics/api.ts';
import { createAttributionJob } from '../../analytics/jobs/attribution.ts';
import { runRollup } from '../../analytics/jobs/rollup.ts';
import { createScheduler, realTimers } from '../../analytics/scheduler.ts';
import { analyticsPart } from '../../mesh/parts.ts';
import { Lifecycle, runUntilSignal } from '../../runtime/lifecycle.ts';
import { createLog } from '../../runtime/log.ts';
import { createStoreClient } from '../../store/client.ts';
import type { Command } from '../command.ts';
import { meshFromArgs } from '../mesh-option.ts';

export const command: Command = {
  help: `
Usage: azimuth analytics [--mesh FILE] [--check]

Publishes closed minutes of traffic and of attributed requests each minute, catching up after a
pause, and serves the reports as JSON (GET /api/gateway-vs-mesh?last=5m&perspective=split,
/api/attribution?last=1h; all of it: /api/openapi.json), the live page, /healthz and /readyz.

  --mesh FILE   the mesh file: section analytics (host, port) and store
  --check       validate, open nothing, exit
`,
  async run(args) {
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
    const nowMs = (): number => Date.now();
    const { retention_days: retentionDays } = part.store;
    const attribution = createAttributionJob({ store, log, retentionDays, nowMs });
    const jobs = [
      { name: 'rollup', run: () => runRollup({ store, log, retentionDays, nowMs }) },
      { name: 'attribution', run: () => attribution.run() },
    ].map((job) => createScheduler({ ...job, timers: realTimers, log }));
    const api = createAnalyticsApi({
      host: part.host,
      port: part.port,
      store,
      retentionDays,
      jobs,
      nowMs,
    });
    const lifecycle = new Lifecycle(log);
    lifecycle.add({ name: 'store client', stop: () => store.close() });
    for (const job of jobs) lifecycle.add(job);
    lifecycle
      .add(api)
      .add({ name: 'announcement', start: () => log.info('analytics ready', { address }) });
    return runUntilSignal(lifecycle, log);
  },
};
