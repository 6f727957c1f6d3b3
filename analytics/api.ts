/**
 * The HTTP side of the analytics process: health, the live page, and the reports. Read-only: no path here
 * changes the store, and nothing a caller sends becomes SQL.
 */
import { AzimuthError, messageOf } from '../runtime/errors.ts';
import {
  createHttpApp,
  type HttpAppServer,
  type HttpRequest,
  type HttpResponse,
} from '../runtime/http-app.ts';
import { METRICS_CONTENT_TYPE } from '../runtime/metrics-text.ts';
import type { StoreClient } from '../store/client.ts';
import type { ClosedTraffic } from './closed-traffic.ts';
import { shareDone } from './jobs/progress.ts';
import { createLiveFeed } from './live/feed.ts';
import { jobMetrics } from './metrics.ts';
import { servePage } from './page.ts';
import { explainTrace } from './reports/explain.ts';
import { FORMATS, readReport, REPORTS, type Format } from './reports/catalogue.ts';
import { openApiDocument } from './openapi.ts';
import type { Scheduler } from './scheduler.ts';
import { trafficMetrics } from './traffic-metrics.ts';
import { MINUTE_MS } from './window.ts';

/** Without a successful run for this long, readers see minutes unpublished that should not be. */
const LATE_MS = 3 * MINUTE_MS;

export function createAnalyticsApi(settings: {
  readonly host: string;
  readonly port: number;
  readonly store: StoreClient;
  readonly retentionDays: number;
  /** Jobs that readers wait for. */
  readonly jobs: readonly Pick<Scheduler, 'name' | 'state'>[];
  /** What `/metrics` says of the mesh; whoever runs the jobs keeps it up to date. Absent: nothing. */
  readonly closedTraffic?: ClosedTraffic;
  readonly nowMs: () => number;
}): HttpAppServer {
  const { store, jobs, closedTraffic, nowMs, retentionDays } = settings;
  const live = createLiveFeed({ store, retentionDays, nowMs });
  const server = createHttpApp('analytics', {
    host: settings.host,
    port: settings.port,
    notReady: () => jobs.map((job) => whyLate(job, nowMs())).find((why) => why !== undefined),
    routes(app) {
      app.get('/metrics', (_req: HttpRequest, res: HttpResponse) => {
        const text = jobMetrics(jobs, nowMs());
        if (closedTraffic !== undefined) trafficMetrics(text, closedTraffic);
        res.type(METRICS_CONTENT_TYPE).send(text.toString());
      });
      servePage(app);
      app.get('/api/live', (req: HttpRequest, res: HttpResponse) =>
        usage(res, () => {
          parametersOf(req, ['last']);
          live.serve(req, res);
        }),
      );
      app.get('/api/traces/:trace', (req: HttpRequest, res: HttpResponse) =>
        usage(res, async () => {
          parametersOf(req, []);
          res.json(await explainTrace(store, String(req.params['trace'])));
        }),
      );
      app.get('/openapi.json', (req: HttpRequest, res: HttpResponse) =>
        usage(res, () => {
          parametersOf(req, []);
          res.json(openApiDocument());
        }),
      );
      // Where it was first.
      app.get('/api/openapi.json', (req: HttpRequest, res: HttpResponse) =>
        usage(res, () => {
          parametersOf(req, []);
          // Relative: a gateway before us may have put its own path in front of ours.
          res.redirect(308, '../openapi.json');
        }),
      );
      for (const report of REPORTS) {
        app.get(`/api/${report.name}`, (req: HttpRequest, res: HttpResponse) =>
          usage(res, async () => {
            const { format: word = 'json', ...raw } = parametersOf(req);
            const format = formatOf(word);
            const read = await readReport(report, raw, { store, retentionDays, nowMs: nowMs() });
            res
              .set({
                'content-type': FORMATS[format],
                'cache-control': 'no-store',
                'x-content-type-options': 'nosniff',
              })
              .send(format === 'json' ? JSON.stringify(read.figures) : read[format]());
          }),
        );
      }
    },
  });
  return {
    ...server,
    async stop() {
      live.stop();
      await server.stop();
    },
  };
}

/**
 * The query's parameters, each given once. `known`: all that there may be; without it the report says.
 * @throws AzimuthError AZ_USAGE that names those at fault.
 */
function parametersOf(req: HttpRequest, known?: readonly string[]): Record<string, string> {
  const query = new URL(req.url, 'http://localhost').searchParams;
  const names = [...query.keys()];
  const twice = names.filter((name, i) => names.indexOf(name) !== i);
  if (twice.length > 0) throw new AzimuthError('AZ_USAGE', `given twice: ${twice.join(', ')}`);
  const unknown = names.filter((name) => known !== undefined && !known.includes(name));
  if (unknown.length > 0) {
    throw new AzimuthError(
      'AZ_USAGE',
      `this path takes no ${unknown.join(', ')}; it takes: ${known?.join(', ') || 'nothing'}`,
    );
  }
  return Object.fromEntries(query);
}

/** @throws AzimuthError AZ_USAGE */
function formatOf(word: string): Format {
  const format = (Object.keys(FORMATS) as Format[]).find((known) => known === word);
  if (format !== undefined) return format;
  throw new AzimuthError('AZ_USAGE', `format is one of: ${Object.keys(FORMATS).join(', ')}`);
}

/** Why readers must wait for a job; undefined when they need not. */
function whyLate({ name, state }: Pick<Scheduler, 'name' | 'state'>, nowMs: number) {
  const { succeededMs, failure, progress } = state();
  const underWay =
    progress === undefined
      ? 'is under way'
      : `is under way, ${Math.floor(100 * shareDone(progress))} % done, published up to ` +
        new Date(progress.untilMs).toISOString();
  if (succeededMs === undefined) return failure ?? `the first run of ${name} ${underWay}`;
  const lateMs = nowMs - succeededMs;
  if (lateMs < LATE_MS) return undefined;
  return `no ${name} for ${Math.round(lateMs / 1000)} s: ${failure ?? `one ${underWay}`}`;
}

/** AZ_USAGE has an exit code and no status: over HTTP it is the caller's mistake. */
async function usage(res: HttpResponse, answer: () => void | Promise<void>): Promise<void> {
  try {
    await answer();
  } catch (error) {
    if (!(error instanceof AzimuthError) || error.code !== 'AZ_USAGE') throw error;
    res.status(400).json({ error: messageOf(error), code: error.code });
  }
}
