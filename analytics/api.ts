/**
 * The HTTP side of the analytics process: health, and the reports as JSON. Read-only: no path here
 * changes the store, and nothing a caller sends becomes SQL.
 */
import { AzimuthError, messageOf } from '../runtime/errors.ts';
import {
  createHttpApp,
  type HttpAppServer,
  type HttpRequest,
  type HttpResponse,
} from '../runtime/http-app.ts';
import { PERSPECTIVES, type Perspective } from '../telemetry/edge-class.ts';
import type { StoreClient } from '../store/client.ts';
import { readGatewayVsMesh } from './reports/gateway-vs-mesh.ts';
import type { Scheduler } from './scheduler.ts';
import { MINUTE_MS, parseWindow } from './window.ts';

/** Without a successful run for this long, readers see minutes unpublished that should not be. */
const LATE_MS = 3 * MINUTE_MS;

/**
 * The perspective of a word; absent means `split`.
 * @throws AzimuthError AZ_USAGE
 */
export function parsePerspective(word: string | undefined): Perspective {
  const known = PERSPECTIVES.find((p) => p === (word ?? 'split'));
  if (known !== undefined) return known;
  throw new AzimuthError(
    'AZ_USAGE',
    `"${word ?? ''}" is no perspective; there are: ${PERSPECTIVES.join(', ')}`,
  );
}

export function createAnalyticsApi(settings: {
  readonly host: string;
  readonly port: number;
  readonly store: StoreClient;
  readonly retentionDays: number;
  readonly rollup: Pick<Scheduler, 'succeededMs' | 'failure'>;
  readonly nowMs: () => number;
}): HttpAppServer {
  const { store, rollup, nowMs, retentionDays } = settings;
  return createHttpApp('analytics', {
    host: settings.host,
    port: settings.port,
    notReady() {
      const succeededMs = rollup.succeededMs();
      if (succeededMs === undefined) return rollup.failure() ?? 'the first rollup is under way';
      const lateMs = nowMs() - succeededMs;
      return lateMs < LATE_MS
        ? undefined
        : `no rollup for ${Math.round(lateMs / 1000)} s: ${rollup.failure() ?? 'one is under way'}`;
    },
    routes(app) {
      app.get('/api/gateway-vs-mesh', async (req: HttpRequest, res: HttpResponse) => {
        try {
          const query = new URL(req.url, 'http://localhost').searchParams;
          const of = (name: string): string | undefined => query.get(name) ?? undefined;
          const window = parseWindow({ last: of('last'), from: of('from'), to: of('to') }, nowMs());
          const perspective = parsePerspective(of('perspective'));
          const report = await readGatewayVsMesh(store, window, perspective, { retentionDays });
          res.json(report);
        } catch (error) {
          // AZ_USAGE has an exit code and no status: over HTTP it is the caller's mistake.
          if (!(error instanceof AzimuthError) || error.code !== 'AZ_USAGE') throw error;
          res.status(400).json({ error: messageOf(error), code: error.code });
        }
      });
    },
  });
}
