import assert from 'node:assert/strict';
import { parse } from 'yaml';
import { entrance, shopMesh, topologyText } from '../../../demo/shop-mesh.ts';
import { SHOP, shopRequest } from '../../../demo/shop/behaviour.ts';
import { drawsOf, lognormal } from '../../../demo/shop/seeded.ts';
import { TOPOLOGIES, type MeshConfig } from '../../../mesh/config.ts';
import { validateMesh } from '../../../mesh/load.ts';
import { proxyPart } from '../../../mesh/parts.ts';
import { Router } from '../../../proxy/router.ts';

const PORT_NUMBERS = /(?<=port: |127\.0\.0\.1:)[0-9]+/g;

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

  for (const topology of TOPOLOGIES) {
    const read = (text: string): MeshConfig => {
      const { mesh, faults } = validateMesh('mesh.yaml', text, () => 'password', '');
      assert.deepEqual(faults, []);
      return mesh!.config;
    };

    it(`has a mesh file for ${topology}, with a way to an operation for every request`, () => {
      const { mesh, faults } = validateMesh('m', topologyText(topology), () => 'password', '');
      assert.deepEqual(faults, []);
      const { config } = mesh!;
      assert.equal(config.topology, topology);
      for (const { name, kind, routes } of config.workloads) {
        assert.deepEqual(
          routes.map(({ methods, path }) => `${methods.join()} ${path}`).sort(),
          SHOP[name]!.map(({ method, template }) => `${method} ${template}`).sort(),
        );
        assert.equal(kind === 'bff', name === 'web-bff');
      }
      assert.equal(config.workloads.length, Object.keys(SHOP).length);
      const edge = config.gateways[0]?.name ?? 'web-bff-sidecar';
      const [listener] = proxyPart(mesh!, edge).listeners;
      assert.equal(listener?.side, 'ingress');
      const router = new Router(listener.routes, 10);
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
      assert.equal(used.size, listener.routes.length, 'the load uses every route');
    });

    it(`gives ${topology} other ports, and nothing else, each once`, async () => {
      const { text, kafkaPort } = await shopMesh(topology, true);
      const usual = topologyText(topology);
      const ports = (of: string): string[] => of.match(PORT_NUMBERS)!;
      assert.equal(text.replace(PORT_NUMBERS, '#'), usual.replace(PORT_NUMBERS, '#'));
      const moved = new Map(ports(usual).map((port, i) => [port, ports(text)[i]!]));
      assert.equal(new Set([...moved.values(), String(kafkaPort)]).size, moved.size + 1);
      for (const [from, to] of moved) assert.notEqual(from, to);
      assert.equal(text.includes('127.0.0.1:9101'), false);
      assert.match(entrance(read(text)), /^http:\/\/127\.0\.0\.1:[0-9]+$/);
      assert.equal(
        entrance(read(text)),
        `http://127.0.0.1:${moved.get('8080')!}`,
        'clients go where 8080 stands',
      );
    });
  }

  it('has one shop in all four files: they differ in gateways and sidecars only', () => {
    const [first, ...others] = TOPOLOGIES.map((topology) => {
      const file = parse(topologyText(topology)) as MeshConfig;
      return { ...file, gateways: [], sidecars: [], topology: '' };
    });
    for (const other of others) assert.deepEqual(other, first);
  });

  it('goes over Kafka when it is given brokers, or is to have its own', async () => {
    const brokersOf = async (brokers: string[] | 'own') => {
      const shop = await shopMesh('shared', true, brokers);
      const { mesh, faults } = validateMesh('mesh.yaml', shop.text, () => 'password', '');
      assert.deepEqual(faults, []);
      assert.equal(mesh!.config.telemetry.transport, 'kafka');
      assert.deepEqual(mesh!.config.telemetry.kafka.brokers, shop.brokers);
      return shop;
    };
    assert.deepEqual((await brokersOf(['127.0.0.1:9', 'b:10'])).brokers, ['127.0.0.1:9', 'b:10']);
    const own = await brokersOf('own');
    assert.deepEqual(own.brokers, [`127.0.0.1:${own.kafkaPort}`]);
  });
});
