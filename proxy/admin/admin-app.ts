/**
 * The admin application of a proxy, in its one process or in the primary of its workers. It asks the
 * processes that carry requests (`Members`) and answers for all of them:
 *
 *   /healthz /readyz   alive; may get work          /metrics  Prometheus text
 *   /config            what is in force, and why    /ledger   what became of every hop
 *   /clusters          endpoints and connections    /hops     hops as they finish
 *   /limits            how much is used, how often each limit was met
 *
 * Loopback by default. It only reads: nothing here changes what the proxy does. docs/ADMIN.md.
 */
import type { ProxyPart } from '../../mesh/part.ts';
import { createHttpApp, type HttpAppServer } from '../../runtime/http-app.ts';
import { METRICS_CONTENT_TYPE } from '../../runtime/metrics-text.ts';
import type { ConfigStatus } from '../config-status.ts';
import type { LimitsJson } from '../limits-json.ts';
import type { Answer, Member, Members } from '../workers/snapshots.ts';
import type { ConfigSnapshot } from './config-snapshot.ts';
import { HopsStream } from './hops-stream.ts';
import { metricsPage, type WorkerCounts } from './metrics-page.ts';
import type { ClustersSnapshot, ProcessSnapshot } from './process-snapshot.ts';

export interface AdminSettings {
  readonly part: ProxyPart;
  /** The processes that carry requests. */
  readonly members: Members;
  readonly configStatus: ConfigStatus;
  /** Given where they are workers. */
  readonly workerCounts?: () => WorkerCounts;
  readonly notReady: () => string | undefined;
  readonly unhealthy?: () => string | undefined;
}

/** Paths that answer, for whoever opens `/`. */
const PAGES: Readonly<Record<string, string>> = {
  '/healthz': 'alive',
  '/readyz': 'may get work',
  '/config': 'the configuration in force, and what became of those before it',
  '/clusters': 'endpoints, their connections, attempts by status',
  '/limits': 'connections and bytes held, and how often each limit was met',
  '/metrics': 'Prometheus text',
  '/ledger': 'what became of every hop',
  '/hops': 'hops as they finish, as server-sent events: ?route= &status= &slower_than= &errors',
};

export function createAdminApp(settings: AdminSettings): HttpAppServer {
  const { part, members, configStatus, workerCounts, notReady, unhealthy } = settings;
  const hops = new HopsStream(members);
  return createHttpApp(`${part.name}-admin`, {
    ...part.admin,
    notReady,
    ...(unhealthy === undefined ? {} : { unhealthy }),
    routes: (app) => {
      app.get('/', (_, res) => {
        res.json({ proxy: part.name, role: part.role, pages: PAGES });
      });
      app.get('/ledger', async (_, res) => {
        const answers = await members.ask<Record<string, unknown>>('ledger');
        res.json({ proxy: part.name, workers: answers.map(flat) });
      });
      app.get('/clusters', async (_, res) => {
        const answers = await members.ask<ClustersSnapshot>('clusters');
        res.json({ proxy: part.name, workers: answers.map(flat) });
      });
      app.get('/limits', async (_, res) => {
        const answers = await members.ask<LimitsJson>('limits');
        res.json({ proxy: part.name, workers: answers.map(flat) });
      });
      app.get('/config', async (_, res) => {
        const answers = await members.ask<ConfigSnapshot>('config');
        const first = answers.find((answer) => 'value' in answer);
        res.json({
          proxy: part.name,
          source: first?.value.source ?? part.source ?? null,
          ...configStatus.json(),
          // While workers are replaced one by one, they may be of two generations.
          workers: answers.map((answer) =>
            flat(
              'value' in answer
                ? { ...answer, value: { generation: answer.value.generation } }
                : answer,
            ),
          ),
          config: first?.value.config ?? null,
          limits: first?.value.limits ?? null,
        });
      });
      app.get('/metrics', async (_, res) => {
        const answers = await members.ask<ProcessSnapshot>('metrics');
        res
          .type(METRICS_CONTENT_TYPE)
          .send(metricsPage(answers, configStatus.json(), hops.counts(), workerCounts?.()));
      });
      app.get('/hops', (req, res) => hops.serve(req, res));
    },
  });
}

/** An answer with its value's fields beside those of the member. */
function flat<T extends object>(answer: Answer<T>): Member & (T | { readonly error: string }) {
  if ('error' in answer) return answer;
  const { value, ...member } = answer;
  return { ...member, ...value };
}
