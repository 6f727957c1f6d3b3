import assert from 'node:assert/strict';
import { choosePorts, SERVICES, shopMeshYaml } from '../../../demo/shop-mesh.ts';
import { SHOP, shopRequest } from '../../../demo/shop/behaviour.ts';
import { drawsOf, lognormal } from '../../../demo/shop/seeded.ts';
import { validateMesh } from '../../../mesh/load.ts';
import { proxyPart } from '../../../mesh/parts.ts';
import { Router } from '../../../proxy/router.ts';

const matches = (template: string, path: string): boolean =>
  new RegExp(`^${template.replaceAll(/\{[a-z]+\}/g, '[^/]+')}$`).test(path.split('?', 1)[0]!);

describe('seeded draws', () => {
  it('repeat for the same key and differ for another', () => {
    const five = (...key: (string | number)[]): number[] => {
      const draw = drawsOf(...key);
      return [draw(), draw(), draw(), draw(), draw()];
    };
    assert.deepEqual(five(1, 'catalog', 5), five(1, 'catalog', 5));
    assert.notDeepEqual(five(1, 'catalog', 5), five(1, 'catalog', 6));
    assert.notDeepEqual(five(1, 'catalog', 5), five(2, 'catalog', 5));
  });

  it('are even, and lognormal ones have the median asked for', () => {
    const even: number[] = [];
    const slow: number[] = [];
    for (let n = 0; n < 4000; n++) {
      even.push(drawsOf(3, n)());
      slow.push(lognormal(drawsOf(4, n), 10, 0.6));
    }
    const mean = even.reduce((a, b) => a + b) / even.length;
    assert.ok(Math.abs(mean - 0.5) < 0.02, `mean ${mean}`);
    const median = slow.sort((a, b) => a - b)[2000]!;
    assert.ok(Math.abs(median - 10) < 0.6, `median ${median}`);
    assert.ok(slow.every((ms) => ms > 0));
  });
});

describe('the shop', () => {
  it('calls only operations that the called service has', () => {
    for (const operations of Object.values(SHOP)) {
      for (const operation of operations) {
        for (const { to, method, path } of (operation.stages?.(['7']) ?? []).flat()) {
          assert.ok(
            SHOP[to]?.some((o) => o.method === method && matches(o.template, path)),
            `${method} ${path} at ${to}`,
          );
        }
      }
    }
  });

  it('has a mesh file without a fault, and a gateway route to an operation for every request', async () => {
    const yaml = shopMeshYaml(await choosePorts(true), undefined);
    const { mesh, faults } = validateMesh('mesh.yaml', yaml, () => 'password', '');
    assert.deepEqual(faults, []);
    assert.equal(mesh!.config.workloads.length, 6);
    const [listener] = proxyPart(mesh!, 'edge').listeners;
    const router = new Router(listener!.routes, 10);
    const used = new Set<string>();
    for (let n = 0; n < 500; n++) {
      const { method, path } = shopRequest(1, n);
      const route = router.match(
        router.routesOf('127.0.0.1:8080')!,
        path.split('?', 1)[0]!,
        method,
      );
      assert.ok(typeof route === 'object', `${method} ${path}`);
      used.add(route.template);
      const operation = SHOP[route.cluster.name]?.find(
        (o) => o.method === method && matches(o.template, path),
      );
      assert.ok(operation !== undefined, `${route.cluster.name} answers ${method} ${path}`);
    }
    assert.equal(used.size, listener!.routes.length, 'the load uses every route');
  });

  it('goes over Kafka when it is given brokers', async () => {
    const yaml = shopMeshYaml(await choosePorts(true), ['127.0.0.1:9', 'b:10']);
    const { mesh, faults } = validateMesh('mesh.yaml', yaml, () => 'password', '');
    assert.deepEqual(faults, []);
    assert.equal(mesh!.config.telemetry.transport, 'kafka');
    assert.deepEqual(mesh!.config.telemetry.kafka.brokers, ['127.0.0.1:9', 'b:10']);
  });

  it('gives no port twice', async () => {
    const ports = await choosePorts(true);
    const all = [
      ports.store,
      ports.otlp,
      ports.collectorAdmin,
      ports.analytics,
      ports.gateway,
      ports.gatewayAdmin,
      ports.kafka,
      ...SERVICES.map((name) => ports.services[name]!).flatMap((p) => [
        p.app,
        p.inbound,
        p.outbound,
        p.admin,
      ]),
    ];
    assert.equal(new Set(all).size, all.length);
  });
});
