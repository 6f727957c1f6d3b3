/**
 * The admin application of a proxy, in its one process or in the primary of its workers: health,
 * readiness, what became of every hop (`/ledger`) and of every configuration (`/config`).
 */
import type { ProxyPart } from '../mesh/part.ts';
import { createHttpApp, type HttpAppServer } from '../runtime/http-app.ts';
import type { ConfigStatus } from './config-status.ts';
import type { Members } from './workers/snapshots.ts';

export interface AdminSettings {
  readonly part: ProxyPart;
  /** The processes that carry requests. */
  readonly members: Members;
  readonly configStatus: ConfigStatus;
  readonly notReady: () => string | undefined;
  readonly unhealthy?: () => string | undefined;
}

export function createAdminApp(settings: AdminSettings): HttpAppServer {
  const { part, members, configStatus, notReady, unhealthy } = settings;
  return createHttpApp(`${part.name}-admin`, {
    ...part.admin,
    notReady,
    ...(unhealthy === undefined ? {} : { unhealthy }),
    routes: (app) => {
      app.get('/ledger', async (_, res) => {
        const answers = await members.ask<Record<string, unknown>>('ledger');
        const workers = answers.map((answer) => {
          if ('error' in answer) return answer;
          const { value, ...member } = answer;
          return { ...member, ...value };
        });
        res.json({ proxy: part.name, workers });
      });
      app.get('/config', (_, res) => {
        res.json({ proxy: part.name, ...configStatus.json() });
      });
    },
  });
}
