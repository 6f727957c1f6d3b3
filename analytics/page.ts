/**
 * Serves the live page: dashboards/web and the plot library, all from this process, so that the page
 * works without any network but to us. Sources are TypeScript; in a clone their types are stripped
 * when they are first asked for, in the packed build they are JavaScript already.
 */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { stripTypeScriptTypes } from 'node:module';
import { gzipSync } from 'node:zlib';
import { createHash } from 'node:crypto';
import type { HttpApp, HttpRequest, HttpResponse } from '../runtime/http-app.ts';

const FOLDER = new URL('../dashboards/web/', import.meta.url);

/** Nothing but our own files, no inline script or style, in no frame. */
const CONTENT_SECURITY_POLICY =
  "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; " +
  "base-uri 'none'; form-action 'self'; frame-ancestors 'none'";

interface Asset {
  readonly type: string;
  readonly body: Buffer;
  readonly zipped: Buffer;
  readonly tag: string;
}

const SCRIPT = 'text/javascript; charset=utf-8';
const STYLE = 'text/css; charset=utf-8';

/** Adds the routes `/` and `/assets/…`. Reads every file now, so that a missing one is told at start. */
export function servePage(app: HttpApp): void {
  const assets = readAssets();
  const serve =
    (asset: Asset) =>
    (req: HttpRequest, res: HttpResponse): void => {
      res.set({
        'content-type': asset.type,
        'content-security-policy': CONTENT_SECURITY_POLICY,
        'x-content-type-options': 'nosniff',
        'referrer-policy': 'no-referrer',
        // Asked for again at each visit, and answered 304 as long as it is the same.
        'cache-control': 'no-cache',
        etag: asset.tag,
        vary: 'accept-encoding',
      });
      if (req.headers['if-none-match'] === asset.tag) {
        res.status(304).end();
      } else if (/\bgzip\b/.test(req.headers['accept-encoding'] ?? '')) {
        res.set('content-encoding', 'gzip').end(asset.zipped);
      } else {
        res.end(asset.body);
      }
    };
  for (const [path, asset] of assets) app.get(path, serve(asset));
}

function readAssets(): Map<string, Asset> {
  const assets = new Map<string, Asset>();
  const add = (path: string, type: string, text: string): void => {
    const body = Buffer.from(text);
    const tag = `"${createHash('sha256').update(body).digest('base64url').slice(0, 22)}"`;
    assets.set(path, { type, body, zipped: gzipSync(body, { level: 9 }), tag });
  };
  const packed = !existsSync(new URL('page.ts', FOLDER));
  for (const file of readdirSync(FOLDER)) {
    const text = (): string => readFileSync(new URL(file, FOLDER), 'utf8');
    if (file === 'index.html') {
      add('/', 'text/html; charset=utf-8', packed ? text().replace('page.ts', 'page.js') : text());
    } else if (file.endsWith('.css')) {
      add(`/assets/${file}`, STYLE, text());
    } else if (file.endsWith('.js')) {
      add(`/assets/${file}`, SCRIPT, text());
    } else if (file.endsWith('.ts')) {
      add(`/assets/${file}`, SCRIPT, withoutTypes(text()));
    }
  }
  const plot = new URL('./', import.meta.resolve('uplot'));
  add('/assets/uplot.js', SCRIPT, readFileSync(new URL('uPlot.esm.js', plot), 'utf8'));
  add('/assets/uplot.css', STYLE, readFileSync(new URL('uPlot.min.css', plot), 'utf8'));
  return assets;
}

/** Node says once that this function of its own is experimental; that tells an operator nothing. */
function withoutTypes(source: string): string {
  const emitWarning = process.emitWarning.bind(process);
  process.emitWarning = () => undefined;
  try {
    return stripTypeScriptTypes(source);
  } finally {
    process.emitWarning = emitWarning;
  }
}
