/**
 * Real proxies of a mesh file, with real time, in front of services that fail: what matters is what
 * the services got, as they count it themselves.
 */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { Agent, createServer, request, type RequestListener, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { freePorts } from '../../helpers/free-ports.ts';
import type { RecordedHop } from '../../helpers/proxy-lab.ts';
import { SmallMesh } from '../../helpers/small-mesh.ts';
import { until } from '../../helpers/until.ts';

async function serve(listener: RequestListener, port = 0): Promise<Server> {
  const server = createServer(listener).listen(port, '127.0.0.1');
  await once(server, 'listening');
  return server;
}
const portOf = (server: Server): number => (server.address() as AddressInfo).port;

describe('Resilience of a mesh', function () {
  this.timeout(120_000);
  let mesh: SmallMesh;
  const servers: Server[] = [];
  const agent = new Agent({ keepAlive: true });

  beforeEach(() => {
    mesh = new SmallMesh();
  });
  afterEach(async () => {
    await mesh.stop();
    agent.destroy();
    for (const server of servers.splice(0)) {
      server.closeAllConnections();
      server.close();
    }
  });

  /** Status of a GET. */
  const get = (port: number, path: string): Promise<number> =>
    new Promise((resolve, reject) => {
      const sent = request({ host: '127.0.0.1', port, path, agent }, (answer) => {
        answer.resume().on('end', () => resolve(answer.statusCode!));
      });
      sent.on('error', reject).end();
    });

  it('gives a service that fails every second request at most a quarter more than asked', async () => {
    let got = 0;
    const service = await serve((_, response) => {
      response.statusCode = ++got % 2 === 0 ? 503 : 200;
      response.end();
    });
    servers.push(service);
    const [port, admin] = await freePorts(2);
    await mesh.start(`
gateways:
  - name: edge
    listen: { port: ${port} }
    admin: { port: ${admin} }
    routes: [ { path: "/*", to: flaky, retry: { attempts_max: 5, backoff_ms: 1, backoff_max_ms: 4 } } ]
externals: [ { name: flaky, hosts: [flaky], address: "127.0.0.1:${portOf(service)}" } ]
`);
    const requests = 1_000;
    let failed = 0;
    const one = async (): Promise<void> => {
      if ((await get(port!, '/')) !== 200) failed++;
    };
    for (let sent = 0; sent < requests; sent += 50) {
      await Promise.all(Array.from({ length: 50 }, one));
    }
    assert.ok(got <= 1.25 * requests, `${got} for ${requests}`);
    assert.ok(got > requests, 'nothing was retried');
    const { retries, retries_refused: refused } = await mesh.cluster('edge', 'flaky');
    assert.equal(retries, got - requests);
    assert.ok(Number(refused) > 0);
    const hops = await mesh.hops(requests);
    assert.equal(hops.length, requests);
    assert.equal(hops.filter(({ status }) => status === 503).length, failed);
    assert.equal(
      hops.reduce((sum, { hop }) => sum + hop.attempts.length, 0),
      got,
    );
  });

  it('stops asking a dead endpoint of three, and asks it again when it is back', async () => {
    const got = [0, 0, 0];
    const service = (index: number): RequestListener => {
      return (_, response) => {
        got[index]!++;
        response.end();
      };
    };
    const services = await Promise.all([0, 1, 2].map((index) => serve(service(index))));
    servers.push(...services);
    const addresses = services.map((server) => `"127.0.0.1:${portOf(server)}"`);
    const [port, admin] = await freePorts(2);
    await mesh.start(`
gateways:
  - { name: edge, listen: { port: ${port} }, admin: { port: ${admin} }, routes: [ { path: "/*", to: pool } ] }
externals:
  - name: pool
    hosts: [pool]
    address: ${addresses[0]}
    replicas: [ ${addresses[1]}, ${addresses[2]} ]
    outliers: { eject_ms: 200, eject_max_ms: 400 }
`);
    const states = async (): Promise<string> => {
      const { endpoints } = await mesh.cluster('edge', 'pool');
      return (endpoints as { state: string }[]).map(({ state }) => state).join();
    };
    const load = async (requests: number): Promise<number> => {
      const answers = await Promise.all(Array.from({ length: requests }, () => get(port!, '/')));
      return answers.filter((status) => status !== 200).length;
    };
    await until(async () => (await load(30)) === 0 && got.every((count) => count > 0));

    const dead = services[1]!;
    const deadPort = portOf(dead);
    dead.closeAllConnections();
    dead.close();
    await once(dead, 'close');
    await until(async () => {
      await load(30);
      return (await states()) === 'up,ejected,up';
    });
    // From now on only a probe now and then can fail.
    const before = await mesh.cluster('edge', 'pool');
    const failed = await load(300);
    const after = await mesh.cluster('edge', 'pool');
    const ejections = (of: Record<string, unknown>): number =>
      (of['endpoints'] as { ejections: number }[])[1]!.ejections;
    assert.ok(failed <= ejections(after) - ejections(before) + 1, String(failed));

    const back = await serve(service(1), deadPort);
    servers.push(back);
    const gotBefore = got[1]!;
    await until(async () => {
      await load(30);
      return (await states()) === 'up,up,up' && got[1]! > gotBefore + 5;
    });
  });

  it('ends all work for a request whose 100 ms are up, through three services', async () => {
    const ports = await freePorts(8);
    const [edge, edgeAdmin, inA, outA, adminA, inB, outB, adminB] = ports;
    /** Requests of the last service, and those that its caller gave up. */
    let reached = 0;
    let givenUp = 0;
    const last = await serve((incoming, response) => {
      reached++;
      // Never answers.
      response.on('close', () => givenUp++);
      incoming.resume();
    });
    let started = 0;
    let cancelled = 0;
    const first = await serve((incoming, response) => {
      started++;
      const { traceparent, 'azimuth-deadline-ms': left } = incoming.headers;
      const onward = request({
        host: '127.0.0.1',
        port: outA,
        path: '/',
        agent: false,
        headers: { host: 'b', traceparent, 'azimuth-deadline-ms': left },
      });
      onward.on('response', (answer) => {
        response.statusCode = answer.statusCode!;
        answer.pipe(response);
      });
      onward.on('error', () => response.destroy());
      response.on('close', () => {
        cancelled++;
        onward.destroy();
      });
      onward.end();
    });
    servers.push(first, last);
    await mesh.start(`
gateways:
  - name: edge
    listen: { port: ${edge} }
    admin: { port: ${edgeAdmin} }
    routes: [ { path: "/*", to: a, timeout_ms: 100 } ]
workloads:
  - { name: a, address: "127.0.0.1:${portOf(first)}" }
  - { name: b, address: "127.0.0.1:${portOf(last)}" }
sidecars:
  - name: sa
    admin: { port: ${adminA} }
    serves: [ { workload: a, inbound: { port: ${inA}, mesh_only: true }, outbound: { port: ${outA} } } ]
  - name: sb
    admin: { port: ${adminB} }
    serves: [ { workload: b, inbound: { port: ${inB}, mesh_only: true }, outbound: { port: ${outB} } } ]
`);
    const requests = 20;
    const answers = await Promise.all(Array.from({ length: requests }, () => get(edge!, '/')));
    assert.deepEqual(new Set(answers), new Set([504]));
    // Nothing is left behind anywhere.
    await until(() => cancelled === started);
    await until(() => givenUp === reached);
    await until(async () => (await mesh.cluster('sa', 'a'))['requests_in_flight'] === 0);
    await until(async () => (await mesh.cluster('sb', 'b'))['requests_in_flight'] === 0);
    // A hop is recorded when it ends, so all that there were are on their way.
    const isEdge = ({ span }: RecordedHop): boolean =>
      span.kind === 2 && span.parentSpanId.length === 0;
    const hops = await until(async () => {
      const soFar = await mesh.hops(requests);
      return soFar.filter(isEdge).length === requests && soFar;
    });
    const byTrace = new Map<string, typeof hops>();
    for (const hop of hops) {
      const trace = hop.span.traceId;
      byTrace.set(trace, [...(byTrace.get(trace) ?? []), hop]);
    }
    assert.equal(byTrace.size, requests);
    for (const ofOne of byTrace.values()) {
      const left = ofOne.map(({ hop }) => hop.deadlineMsPlusOne - 1).toSorted((a, b) => b - a);
      assert.equal(left[0], 100);
      // Each hop knows of the deadline, and of no more of it than the hop before.
      assert.ok(
        left.every((ms) => ms >= 0 && ms <= 100),
        String(left),
      );
      // Which hop is first to see that the time is up is chance; that none goes on is not.
      for (const { status, answeredBy } of ofOne) {
        assert.ok(status >= 500 || answeredBy === 'client_gone', `${status} ${answeredBy}`);
      }
    }
  });
});
