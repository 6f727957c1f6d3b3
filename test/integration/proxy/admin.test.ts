/** The admin address of a proxy that carries requests, and `azimuth tail` as a process beside it. */
import assert from 'node:assert/strict';
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { fileURLToPath } from 'node:url';
import { answering, get, ProxyLab, type LabSettings, withLab } from '../../helpers/proxy-lab.ts';

const AZIMUTH = fileURLToPath(new URL('../../../bin/azimuth.js', import.meta.url));

const adminOf = (lab: ProxyLab): string => `http://127.0.0.1:${lab.proxy.adminPort()}`;
const jsonOf = async (lab: ProxyLab, path: string) =>
  (await (await fetch(adminOf(lab) + path)).json()) as Record<string, never>;
const metricsOf = async (lab: ProxyLab): Promise<string> =>
  (await fetch(adminOf(lab) + '/metrics')).text();

interface Sample {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

/** Reads the text format strictly; throws on a line that is none of it. */
function samplesOf(text: string): Sample[] {
  const typed = new Set<string>();
  return text
    .trimEnd()
    .split('\n')
    .flatMap((line) => {
      const type = /^# TYPE ([a-z0-9_]+) (counter|gauge|histogram)$/.exec(line);
      if (type !== null) {
        assert.ok(!typed.has(type[1]!), `${type[1]!} stands twice`);
        typed.add(type[1]!);
      }
      if (line.startsWith('#')) return [];
      const match = /^([a-z][a-z0-9_]*)(?:\{(.*)\})? (-?[0-9.e+-]+|NaN|[+-]Inf)$/.exec(line);
      assert.ok(match !== null, line);
      const labels = Object.fromEntries(
        [...(match[2] ?? '').matchAll(/([a-z_]+)="((?:[^"\\]|\\.)*)"/g)].map(([, k, v]) => [
          k!,
          v!,
        ]),
      );
      return [{ name: match[1]!, labels, value: Number(match[3]) }];
    });
}

const sumOf = (samples: readonly Sample[], name: string, labels: object = {}): number =>
  samples
    .filter((s) => s.name === name)
    .filter((s) => Object.entries(labels).every(([key, value]) => s.labels[key] === value))
    .reduce((sum, { value }) => sum + value, 0);

/** One request on a connection of its own that is answered and recorded. */
async function request(lab: ProxyLab, path = '/', ...lines: string[]): Promise<string> {
  return lab.exchange(get(path, ...lines), '\r\n\r\n');
}

describe('the admin address of a proxy', () => {
  it('shows where the connections of a cluster are, and what came of its attempts', async () => {
    await withLab({}, async (lab) => {
      await request(lab, '/a');
      await request(lab, '/b');
      await lab.hops(2);
      const { workers } = (await jsonOf(lab, '/clusters')) as unknown as {
        workers: [{ boot_id: string; clusters: [Record<string, unknown>]; attempts: unknown }];
      };
      const [{ clusters, attempts, boot_id: bootId }] = workers;
      assert.equal(bootId, lab.proxy.bootId);
      assert.deepEqual(clusters, [
        {
          listener: 'main',
          name: 'catalog',
          meshed: true,
          requests: 2,
          requests_in_flight: 0,
          requests_max: 1_024,
          overflows: 0,
          retries: 0,
          retries_refused: 0,
          endpoints: [
            {
              host: '127.0.0.1',
              port: lab.upstream.port,
              connections: { open: 1, connecting: 0, idle: 1, active: 0 },
              connects: 1,
              connect_failures: 0,
              attempts: 2,
              state: 'up',
              ejections: 0,
            },
          ],
        },
      ]);
      assert.deepEqual(attempts, { catalog: { '2xx': 2 } });
    });
  });

  it('counts connections that are refused, and requests in flight', async () => {
    await withLab({ endpoints: [{ host: '127.0.0.1', port: 1 }] }, async (lab) => {
      await request(lab);
      await lab.hop();
      const samples = samplesOf(await metricsOf(lab));
      assert.ok(sumOf(samples, 'azimuth_upstream_connect_failures_total') > 0);
      assert.equal(sumOf(samples, 'http_client_open_connections'), 0);
      assert.ok(sumOf(samples, 'azimuth_attempts_total', { azimuth_status_class: 'none' }) > 0);
      assert.equal(
        sumOf(samples, 'http_server_request_duration_seconds_count', {
          azimuth_status_class: '5xx',
        }),
        1,
      );
    });
    await withLab({ script: () => undefined }, async (lab) => {
      const client = await lab.connect();
      client.send(get('/slow'));
      await lab.upstream.until((u) => u.peers[0]?.received.endsWith('\r\n\r\n') ?? false);
      const samples = samplesOf(await metricsOf(lab));
      assert.equal(sumOf(samples, 'http_server_active_requests'), 1);
      assert.equal(sumOf(samples, 'http_client_open_connections', { http_connection_state: 'active' }), 1); // prettier-ignore
    });
  });

  it('says by what configuration it works', async () => {
    await withLab({}, async (lab) => {
      const answer = (await jsonOf(lab, '/config')) as unknown as {
        generation: number;
        reloads: unknown;
        config: { name: string; listeners: { routes: { template: string }[] }[] };
        limits: { headTimeoutMs: number };
        workers: { generation: number }[];
      };
      assert.equal(answer.generation, 7);
      assert.deepEqual(answer.reloads, { applied: 0, unchanged: 0, refused: 0 });
      assert.equal(answer.config.name, 'proxy-under-test');
      assert.equal(answer.config.listeners[0]!.routes[0]!.template, '/*');
      assert.equal(answer.limits.headTimeoutMs, 10_000);
      assert.deepEqual(
        answer.workers.map(({ generation }) => generation),
        [7],
      );
    });
  });

  it('lists its pages, and is healthy, ready and honest about its ledger', async () => {
    await withLab({}, async (lab) => {
      await request(lab);
      await lab.hop();
      const { pages } = (await jsonOf(lab, '/')) as unknown as { pages: Record<string, string> };
      for (const path of Object.keys(pages).filter((page) => page !== '/hops')) {
        const response = await fetch(adminOf(lab) + path);
        assert.equal(response.status, 200, path);
        await response.text();
      }
      const { workers } = (await jsonOf(lab, '/ledger')) as unknown as {
        workers: { hops_finished: number }[];
      };
      assert.equal(workers[0]!.hops_finished, 1);
    });
  });

  it('lets no client make up a label, by no path, method, host or header', async () => {
    const settings: LabSettings = {
      routes: [{ path: '/products/{id}' }, { path: '/orders', methods: ['GET', 'POST'] }],
    };
    await withLab(settings, async (lab) => {
      let sent = 0;
      const send = async (text: string): Promise<void> => {
        await lab.exchange(text, '\r\n\r\n');
        sent++;
      };
      for (let i = 0; i < 30; i++) {
        await send(`GET /products/${i} HTTP/1.1\r\nHost: shop-${i}.example\r\n\r\n`);
        await send(`GET /none-${i} HTTP/1.1\r\nHost: a\r\nazimuth-peer: bff;p${i}\r\n\r\n`);
        // No HTTP, so no hop.
        await lab.exchange(`GET /none-${i}"\\{} HTTP/1.1\r\nHost: a\r\n\r\n`, '\r\n\r\n');
        await send(`M${i}-METHOD /orders HTTP/1.1\r\nHost: a\r\n\r\n`);
      }
      await lab.hops(sent);
      const samples = samplesOf(await metricsOf(lab));
      const durations = samples.filter(
        ({ name }) => name === 'http_server_request_duration_seconds_count',
      );
      const values = (label: string): string[] =>
        [...new Set(durations.map(({ labels }) => labels[label] ?? ''))].sort();
      assert.deepEqual(values('http_route'), ['', '/products/{id}']);
      assert.deepEqual(values('http_request_method'), ['GET', '_OTHER']);
      assert.deepEqual(values('azimuth_edge_class'), ['external_to_gateway']);
      assert.ok(durations.length <= 6, JSON.stringify(durations));
      // Bounded, and still complete: every hop stands in one of them.
      assert.equal(sumOf(samples, 'http_server_request_duration_seconds_count'), sent);
      assert.equal(sumOf(samples, 'azimuth_hops_finished_total'), sent);
      assert.equal(sumOf(samples, 'azimuth_hop_own_time_seconds_count'), sent);
      assert.equal(sumOf(samples, 'azimuth_listener_garbage_total'), 30);
    });
  });

  it('shows a hop to a reader of /hops, and ends the stream when it stops', async () => {
    const lab = await new ProxyLab({ routes: [{ path: '/a' }, { path: '/b' }] }).start();
    const response = await fetch(adminOf(lab) + '/hops?route=/b');
    const reader = response.body!.pipeThrough(new TextDecoderStream()).getReader();
    await request(lab, '/a');
    await request(lab, '/b');
    let text = '';
    while (!text.includes('event: hop')) text += (await reader.read()).value ?? '';
    const { hop } = { hop: JSON.parse(/data: (.*)\n/.exec(text)![1]!) as Record<string, unknown> };
    const [, recorded] = await lab.hops(2);
    assert.equal(hop['route'], '/b');
    assert.equal(hop['trace_id'], recorded!.span.traceId);
    assert.equal(hop['span_id'], recorded!.span.spanId);
    assert.equal(hop['own_ms'], recorded!.ownNs / 1e6);
    assert.equal(hop['seq'], 2);
    await lab.stop();
    await reader.read().then(
      ({ done }) => assert.equal(done, true),
      () => undefined,
    );
  });
});

/** `azimuth tail` as a child, with what it has written so far. */
class Tail {
  readonly child: ChildProcess;
  out = '';
  err = '';
  readonly exit: Promise<unknown>;
  #waiting: (() => void)[] = [];

  constructor(...args: string[]) {
    const child = spawn(process.execPath, [AZIMUTH, 'tail', ...args], {
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    this.child = child;
    const changed = (): void => this.#waiting.splice(0).forEach((wake) => wake());
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      this.out += text;
      changed();
    });
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      this.err += text;
    });
    this.exit = once(child, 'close').then(([code, signal]: unknown[]) => {
      changed();
      return code ?? signal;
    });
  }

  /** Resolves once it has written `text`; throws when it ends before. */
  async until(text: string): Promise<void> {
    while (!this.out.includes(text)) {
      if (this.child.exitCode !== null) throw new Error(`ended: ${this.err}`);
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    }
  }
}

describe('azimuth tail', () => {
  it('shows the requests that are asked for in aligned columns, and ends cleanly by Ctrl-C', async () => {
    const settings: LabSettings = {
      routes: [{ path: '/a' }, { path: '/b' }],
      script: answering('HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n'),
    };
    await withLab(settings, async (lab) => {
      const tail = new Tail('--admin', adminOf(lab), '--route', '/b', '--errors');
      await tail.until('TIME');
      await request(lab, '/a');
      await request(lab, '/b');
      await tail.until('/b');
      tail.child.kill('SIGINT');
      assert.equal(await tail.exit, 0);
      const [head, line, ...rest] = tail.out.trimEnd().split('\n');
      assert.equal(rest.length, 0);
      assert.equal(line!.indexOf('/b'), head!.indexOf('ROUTE'));
      assert.match(line!, / 503 {2}GET .* 5xx$/);
      assert.ok(!tail.out.includes('\x1b'), 'no colours where nobody looks');
      assert.equal(tail.err, '');
    });
  });

  it('writes JSON lines with every field, and ends after as many as are asked for', async () => {
    await withLab({}, async (lab) => {
      const tail = new Tail('--admin', `127.0.0.1:${lab.proxy.adminPort()}`, '--json', '--limit', '2'); // prettier-ignore
      let ended = false;
      const exit = tail.exit.finally(() => (ended = true));
      // Nothing says when it listens: requests go on until it has seen enough.
      while (!ended) await request(lab, '/x');
      assert.equal(await exit, 0, tail.err);
      const lines = tail.out.trimEnd().split('\n');
      assert.equal(lines.length, 2);
      for (const line of lines) {
        const hop = JSON.parse(line) as Record<string, unknown>;
        assert.equal(hop['status'], 200);
        assert.equal(hop['worker'], 0);
        assert.equal(typeof hop['own_ms'], 'number');
      }
    });
  });

  it('says what to do when nothing answers, when no proxy does, and when the proxy ends', async () => {
    const nobody = new Tail('--admin', 'http://127.0.0.1:1');
    assert.equal(await nobody.exit, 69);
    assert.match(nobody.err, /no proxy answers at http:\/\/127\.0\.0\.1:1: nothing listens there/);
    assert.match(nobody.err, /--admin URL/);

    const other = createServer((_, response) => response.writeHead(404).end('not here'));
    other.listen(0, '127.0.0.1');
    await once(other, 'listening');
    const wrong = new Tail('--admin', `http://127.0.0.1:${(other.address() as AddressInfo).port}`);
    assert.equal(await wrong.exit, 69);
    assert.match(wrong.err, /does not show hops \(status 404\): not here/);
    other.close();

    const lab = await new ProxyLab({}).start();
    const left = new Tail('--admin', adminOf(lab));
    await left.until('TIME');
    await lab.stop();
    assert.equal(await left.exit, 69);
    assert.match(left.err, /is gone/);
  });

  it('says what is wrong with a filter before it shows anything', async () => {
    await withLab({}, async (lab) => {
      const tail = new Tail('--admin', adminOf(lab), '--slower-than', '100');
      assert.equal(await tail.exit, 64);
      assert.match(tail.err, /slower_than 100 is no duration/);
      assert.equal(tail.out, '');
    });
  });
});
