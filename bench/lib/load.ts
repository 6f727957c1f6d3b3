/**
 * Load on one proxy, always by an exact number of requests, since "spans delivered / due" needs one.
 * `saturate` is a closed loop: h2load, the cheapest one that ends by count (8 CPU-microseconds a
 * request), or where it is not to be had a loop of ours on node:net (12). `openRate` is ours.
 */
import { firstLine, output, start, startNode } from './processes.ts';

export interface LoadResult {
  readonly requests: number;
  readonly seconds: number;
}

export interface RateResult extends LoadResult {
  readonly p50Ms: number;
  readonly p99Ms: number;
  /** p99 of the generator's own lateness, which is part of both. */
  readonly lateP99Ms: number;
}

export const PATH = '/bench/item';
export type Headers = Readonly<Record<string, string>>;

/** What a browser sends to a shop: head of about 1 kB. */
export const BROWSER_HEADERS: Headers = {
  'User-Agent':
    'Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36',
  Accept:
    'text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,image/apng,*/*;q=0.8',
  'Accept-Encoding': 'gzip, deflate, br, zstd',
  'Accept-Language': 'en-GB,en;q=0.9,de;q=0.8',
  'Cache-Control': 'max-age=0',
  Cookie:
    'session=7f3c9a1be2d84f6fa0c5b7d9e1f3a5c7; consent=v2.1-all; basket=4-19-33-71; theme=dark; ab=checkout-b.search-a',
  DNT: '1',
  Pragma: 'no-cache',
  Priority: 'u=0, i',
  Referer: 'https://shop.example/categories/garden/chairs?sort=price&page=3',
  'Sec-CH-UA': '"Chromium";v="140", "Not=A?Brand";v="24", "Google Chrome";v="140"',
  'Sec-CH-UA-Mobile': '?0',
  'Sec-CH-UA-Platform': '"Windows"',
  'Sec-Fetch-Dest': 'document',
  'Sec-Fetch-Mode': 'navigate',
  'Sec-Fetch-Site': 'same-origin',
  'Sec-Fetch-User': '?1',
  'Upgrade-Insecure-Requests': '1',
  'X-Client-Version': '2026.11.3',
  'X-Request-Start': 't=1795600000.123',
};

/** As many requests as can be, on keep-alive connections with one request out each. */
export async function saturate(
  h2load: string | undefined,
  port: number,
  connections: number,
  requests: number,
  headers: Headers = {},
  isTls = false,
): Promise<LoadResult> {
  if (h2load === undefined) {
    if (isTls) throw new Error('load over TLS needs h2load');
    const child = startNode(1, 'lib/closed-loop.ts', [
      port,
      connections,
      requests,
      JSON.stringify(headers),
    ]);
    const result = await firstLine<LoadResult & { errors: number }>(child);
    if (result.errors > 0) throw new Error(`${result.errors} answers were not 2xx`);
    return result;
  }
  const fields = Object.entries(headers).flatMap(([name, value]) => ['-H', `${name}: ${value}`]);
  const text = await output(
    start(1, [
      h2load,
      '--h1',
      '-t1',
      `-c${connections}`,
      `-n${requests}`,
      ...fields,
      `${isTls ? 'https' : 'http'}://127.0.0.1:${port}${PATH}`,
    ]),
  );
  const finished = /finished in ([\d.]+)(us|ms|s|m),/.exec(text);
  const ok = Number(/status codes: (\d+) 2xx/.exec(text)?.[1] ?? 0);
  if (finished === null || ok !== requests) {
    throw new Error(`${requests} requests, ${ok} answered with 2xx:\n${text}`);
  }
  const unit = { us: 1e-6, ms: 1e-3, s: 1, m: 60 }[finished[2] as 'us' | 'ms' | 's' | 'm'];
  return { requests, seconds: Number(finished[1]) * unit };
}

/** A fixed number of requests a second, sent whether answers come or not. */
export async function openRate(
  port: number,
  connections: number,
  perSecond: number,
  seconds: number,
): Promise<RateResult> {
  const child = startNode(1, 'lib/open-rate.ts', [port, connections, perSecond, seconds]);
  const result = await firstLine<RateResult & { errors: number }>(child);
  if (result.errors > 0) throw new Error(`${result.errors} answers were not 2xx`);
  return result;
}
