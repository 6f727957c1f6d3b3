/** The manifests of deploy/kubernetes against Kubernetes' types, the code, and the mesh file in them. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { cpSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import { parse } from 'yaml';
import { loadMesh, type Mesh } from '../../../mesh/load.ts';
import { DEFAULT_LIMITS } from '../../../proxy/limits.ts';
import { ROOT, imageEntrypoint } from '../../compose/compose-file.ts';
import {
  BASE,
  buildDecoder,
  containersOf,
  decode,
  whyNoGo,
  type Container,
  type Manifest,
  type PodSpec,
} from './manifests.ts';

const MESH_FOLDER = '/etc/azimuth/mesh';
const STORE = { AZIMUTH_STORE_USER: 'none', AZIMUTH_STORE_PASSWORD: 'none' };
/** Where Prometheus is taken to run. */
const MONITORING = {
  namespaceSelector: { matchLabels: { 'kubernetes.io/metadata.name': 'monitoring' } },
};
/** What a Lifecycle gives a process to end, seconds. */
const LIFECYCLE_S = 15;
/** What an application of the example gets between the end of preStop and its sidecar's. */
const APPLICATION_S = 30;

describe('deploy/kubernetes', function () {
  // The first build fetches and compiles Kubernetes' types.
  this.timeout(600_000);
  let folder = '';
  let decoder = '';
  let manifests: readonly Manifest[] = [];
  let mesh: Mesh;

  before(function () {
    const why = whyNoGo();
    if (why !== undefined) {
      if (process.env['CI'] === 'true') assert.fail(why);
      console.warn(`      PENDING: ${why}`);
      this.skip();
    }
    folder = mkdtempSync(join(tmpdir(), 'azimuth-kubernetes-'));
    decoder = buildDecoder(folder);
    const decoded = decode(decoder, BASE);
    assert.equal(decoded.refusal, undefined);
    manifests = decoded.manifests;
    const text = only('ConfigMap', 'azimuth-mesh').data?.['mesh.yaml'];
    assert.ok(text !== undefined);
    const file = join(folder, 'mesh.yaml');
    writeFileSync(file, text);
    mesh = loadMesh(file, STORE);
  });

  after(() => {
    if (folder !== '') rmSync(folder, { recursive: true });
  });

  const all = (...kinds: readonly string[]): Manifest[] =>
    manifests.filter(({ kind }) => kinds.includes(kind));
  function only(kind: string, name: string): Manifest {
    const found = all(kind).find(({ metadata }) => metadata.name === name);
    assert.ok(found !== undefined, `${kind} ${name} is missing`);
    return found;
  }
  /** Every pod, by the name of its Deployment or Job. */
  const pods = (): [string, PodSpec][] =>
    all('Deployment', 'Job').map(({ metadata, spec }) => [metadata.name, spec!.template!.spec]);
  /** Containers that run a command of azimuth, with their pod. */
  const ours = (): { pod: string; spec: PodSpec; container: Container }[] =>
    pods().flatMap(([pod, spec]) =>
      containersOf(spec)
        .filter(({ command }) => command === undefined)
        .map((container) => ({ pod, spec, container })),
    );
  const environmentOf = ({ env = [] }: Container): Record<string, string> =>
    Object.fromEntries(env.map(({ name, value }) => [name, value ?? 'from a Secret']));
  /** Where the mesh file has a process listen, by the name of the port in the manifests. */
  function listensOf(args: readonly string[]): Record<string, { host: string; port: number }> {
    const { gateways, sidecars, collector, analytics } = mesh.config;
    const named = <T extends { name: string }>(list: readonly T[]): T => {
      const one = list.find(({ name }) => name === args[args.indexOf('--name') + 1]);
      assert.ok(one !== undefined, `the mesh file has no proxy for: ${args.join(' ')}`);
      return one;
    };
    if (args[0] === 'gateway') {
      const { listen, admin } = named(gateways);
      return { http: listen, admin };
    }
    if (args[0] === 'sidecar') {
      const { serves, admin } = named(sidecars);
      return { inbound: serves[0]!.inbound!, admin };
    }
    if (args[0] === 'collector') {
      const { otlp_http, otlp_grpc, admin } = collector;
      return { 'otlp-http': otlp_http, 'otlp-grpc': otlp_grpc, admin };
    }
    return args[0] === 'analytics' ? { http: analytics } : {};
  }

  it('would be refused with a field that Kubernetes does not know, a wrong type, a kind or a file that is not there', () => {
    const broken = (what: string, file: string, from: string, to: string, why: RegExp): void => {
      const copy = mkdtempSync(join(folder, 'broken-'));
      cpSync(BASE, copy, { recursive: true });
      const text = readFileSync(join(copy, file), 'utf8');
      assert.ok(text.includes(from), from);
      writeFileSync(join(copy, file), text.replace(from, to));
      assert.match(decode(decoder, copy).refusal ?? 'accepted', why, what);
    };
    broken(
      'field',
      'gateway.yaml',
      'runAsNonRoot:',
      'runAsNotRoot:',
      /unknown field.*runAsNotRoot/,
    );
    broken('type', 'gateway.yaml', 'replicas: 2', 'replicas: two', /int32/);
    broken('kind', 'gateway.yaml', 'kind: Service', 'kind: Servant', /no type for this kind/);
    broken('file', 'kustomization.yaml', '- cart.yaml', '- card.yaml', /card\.yaml/);
    broken('option', 'kustomization.yaml', '\nnamespace:', '\nnamespaces:', /unknown field/);
  });

  it('takes every manifest of the folder, into one namespace', () => {
    const written = readdirSync(BASE)
      .filter((file) => !['kustomization.yaml', 'mesh.yaml'].includes(file))
      .flatMap((file) => [...readFileSync(join(BASE, file), 'utf8').matchAll(/^kind: /gm)]);
    // The ConfigMap is made from the mesh file.
    assert.equal(manifests.length, written.length + 1);
    for (const { kind, metadata } of manifests)
      if (kind !== 'Namespace') assert.equal(metadata.namespace, 'azimuth', metadata.name);
    only('Namespace', 'azimuth');
  });

  it('runs every proxy of the mesh file once, a sidecar beside its workload and found by its Service', () => {
    const running = ours()
      .filter(({ container }) => ['gateway', 'sidecar'].includes(container.args[0]!))
      .map(({ pod, container }) => [...container.args, pod]);
    const { gateways, sidecars, workloads } = mesh.config;
    const expected = [
      ...gateways.map(({ name, machine }) => ['gateway', '--name', name, machine]),
      ...sidecars.map(({ name, machine }) => ['sidecar', '--name', name, machine]),
    ];
    assert.deepEqual(running.sort(), expected.sort());
    for (const { serves, machine } of sidecars) {
      const { workload: name, inbound } = serves[0]!;
      const { initContainers, containers } = only('Deployment', machine!).spec!.template!.spec;
      assert.equal(initContainers?.length, 1);
      assert.equal(initContainers[0]?.restartPolicy, 'Always', 'a native sidecar');
      const application = containers[0]!;
      assert.equal(application.name, name);
      const { address, dns_refresh_ms: refreshMs } = workloads.find((w) => w.name === name)!;
      assert.equal(address, `127.0.0.1:${environmentOf(application)['PORT']}`);
      assert.ok(
        application.readinessProbe?.exec?.command.join(' ').includes(`//${address}/healthz`),
      );
      const outbound = new URL(environmentOf(application)['MESH_OUTBOUND']!);
      assert.equal(Number(outbound.port), serves[0]!.outbound.port);
      const service = only('Service', machine!).spec!;
      assert.equal(service.ports?.[0]?.port, inbound!.port);
      // Pods by themselves: then the caller has to look them up again.
      assert.equal(service.clusterIP, 'None');
      assert.ok(refreshMs !== undefined);
      const leavesMs = application.lifecycle!.preStop!.sleep!.seconds * 1000;
      assert.ok(leavesMs > refreshMs, `${name} leaves before its callers notice`);
    }
  });

  it('opens the ports of the mesh file, on every address of the pod, and no others', () => {
    let seen = 0;
    for (const { pod, container } of ours()) {
      const listens = listensOf(container.args);
      const opened = Object.fromEntries(
        (container.ports ?? []).map(({ name, containerPort }) => [name, containerPort]),
      );
      const expected = Object.entries(listens).map(([name, { port }]) => [name, port]);
      assert.deepEqual(opened, Object.fromEntries(expected), pod);
      for (const { host } of Object.values(listens)) assert.equal(host, '0.0.0.0', pod);
      seen += expected.length;
    }
    assert.ok(seen > 0);
  });

  it('leads every Service, probe and network policy to a port that a container of its pods opens', () => {
    const portsOf = (name: string): string[] =>
      containersOf(only('Deployment', name).spec!.template!.spec).flatMap(({ ports = [] }) =>
        ports.map((port) => port.name),
      );
    for (const { metadata, spec } of all('Service')) {
      for (const { targetPort } of spec!.ports!)
        assert.ok(portsOf(spec!.selector!['app'] as string).includes(targetPort), metadata.name);
    }
    for (const { metadata, spec } of all('NetworkPolicy')) {
      const { matchLabels, matchExpressions } = spec!.podSelector!;
      const names = matchExpressions?.[0]?.values ?? [matchLabels!['app']!];
      const allowed = (spec!.ingress ?? []).flatMap(({ ports }) => ports.map(({ port }) => port));
      for (const name of names)
        for (const port of allowed)
          assert.ok(portsOf(name).includes(port), `${metadata.name}: ${name}`);
      for (const { from = [], ports } of spec!.ingress ?? []) {
        if (!ports.some(({ port }) => port === 'admin')) continue;
        assert.deepEqual(from, [MONITORING], `${metadata.name} opens admin pages to others`);
        assert.equal(ports.length, 1, metadata.name);
      }
    }
    // Every Deployment has a policy.
    const bound = all('NetworkPolicy').flatMap(({ spec }) => [
      ...(spec!.podSelector!.matchExpressions?.[0]?.values ?? []),
      ...Object.values(spec!.podSelector!.matchLabels ?? {}),
    ]);
    assert.deepEqual(
      bound.sort(),
      all('Deployment')
        .map(({ metadata }) => metadata.name)
        .sort(),
    );
    for (const { pod, container } of ours()) {
      if ((container.ports ?? []).length === 0) continue;
      const { livenessProbe, readinessProbe, startupProbe } = container;
      assert.equal(livenessProbe?.httpGet?.path, '/healthz', pod);
      assert.equal(readinessProbe?.httpGet?.path, '/readyz', pod);
      assert.ok(startupProbe !== undefined, pod);
      for (const probe of [livenessProbe, readinessProbe, startupProbe])
        assert.ok(portsOf(pod).includes(String(probe.httpGet?.port)), pod);
    }
  });

  it('lets Prometheus find every process by container and port, and reach it through the policies', () => {
    const { scrape_configs: jobs } = parse(
      readFileSync(`${ROOT}dashboards/prometheus/kubernetes.yaml`, 'utf8'),
    ) as { scrape_configs: { relabel_configs: { action?: string; regex: string }[] }[] };
    const keep = jobs[0]!.relabel_configs.find(({ action }) => action === 'keep')!.regex;
    for (const { pod, container } of ours()) {
      const { name, ports = [] } = container;
      const scraped = ports.filter((port) => new RegExp(`^(?:${keep})$`).test(`${name};${port.name}`)); // prettier-ignore
      assert.equal(scraped.length, ports.length === 0 ? 0 : 1, `${pod}: ${name}`);
      for (const { name: port } of scraped) {
        const policy = all('NetworkPolicy').find(({ spec }) => {
          const { matchLabels, matchExpressions } = spec!.podSelector!;
          return matchLabels?.['app'] === pod || matchExpressions?.[0]?.values.includes(pod);
        });
        const reached = policy!.spec!.ingress!.some(
          ({ from, ports: open }) =>
            isDeepStrictEqual(from, [MONITORING]) && open.some((one) => one.port === port),
        );
        assert.ok(reached, `${pod}: ${port}`);
      }
    }
  });

  it('waits for the drains before it kills', () => {
    assert.ok(DEFAULT_LIMITS.drainTimeoutMs < LIFECYCLE_S * 1000);
    for (const { metadata, spec } of all('Deployment')) {
      const {
        terminationGracePeriodSeconds: graceS = 0,
        containers,
        initContainers,
      } = spec!.template!.spec;
      const sleepsS = containers[0]!.lifecycle?.preStop?.sleep?.seconds ?? 0;
      const applicationS = initContainers === undefined ? 0 : APPLICATION_S;
      // Two parts of a collector may each take their whole time.
      const ownS = metadata.name === 'collector' ? 2 * LIFECYCLE_S : LIFECYCLE_S;
      assert.ok(graceS > sleepsS + applicationS + ownS, metadata.name);
    }
  });

  it('runs nobody as root, on a file system that cannot be written to, within bounds of memory', () => {
    for (const [name, pod] of pods()) {
      assert.equal(pod.automountServiceAccountToken, false, name);
      assert.equal(pod.securityContext?.['runAsNonRoot'], true, name);
      assert.equal(pod.securityContext['runAsUser'], 1000, name);
      assert.deepEqual(pod.securityContext['seccompProfile'], { type: 'RuntimeDefault' }, name);
      for (const { securityContext, resources } of containersOf(pod)) {
        assert.deepEqual(
          securityContext,
          {
            allowPrivilegeEscalation: false,
            readOnlyRootFilesystem: true,
            capabilities: { drop: ['ALL'] },
          },
          name,
        );
        assert.ok(resources?.requests?.['cpu'] !== undefined, name);
        assert.ok(resources.requests['memory'] !== undefined, name);
        assert.deepEqual(Object.keys(resources.limits ?? {}), ['memory'], name);
      }
    }
  });

  it('uses the image of the package, and mounts only what is there', () => {
    const { version } = JSON.parse(readFileSync(`${ROOT}package.json`, 'utf8')) as {
      version: string;
    };
    for (const [name, pod] of pods()) {
      const volumes = pod.volumes.map((volume) => volume.name);
      for (const { image, volumeMounts = [] } of containersOf(pod)) {
        assert.equal(image, `azimuth:${version}`, name);
        for (const mount of volumeMounts) assert.ok(volumes.includes(mount.name), name);
      }
      for (const { configMap } of pod.volumes)
        if (configMap !== undefined) only('ConfigMap', configMap.name);
    }
    for (const { pod, container } of ours()) {
      const { AZIMUTH_MESH: path } = environmentOf(container);
      assert.equal(path, `${MESH_FOLDER}/mesh.yaml`, pod);
      // The folder, not the file: a file that is mounted by itself never changes.
      assert.ok(
        container.volumeMounts?.some((m) => m.mountPath === MESH_FOLDER),
        pod,
      );
    }
  });

  it('holds no password: each comes from a Secret, for the user that the command needs', () => {
    for (const { pod, container } of ours()) {
      const { AZIMUTH_STORE_USER: user } = environmentOf(container);
      const password = container.env?.find(({ name }) => name === 'AZIMUTH_STORE_PASSWORD');
      const expected = { migrate: 'azimuth_owner', collector: 'azimuth_writer', analytics: 'azimuth_writer' }[pod]; // prettier-ignore
      assert.equal(user, expected ?? 'none', pod);
      if (expected === undefined) assert.equal(password?.value, 'none', pod);
      else
        assert.deepEqual(password?.valueFrom?.secretKeyRef, {
          name: 'azimuth-store',
          key: `${expected.replace('azimuth_', '')}-password`,
        });
      // Its API reads as another user.
      const reader = container.env?.find(({ name }) => name === 'AZIMUTH_READER_PASSWORD');
      const key = pod === 'analytics' ? 'reader-password' : undefined;
      assert.equal(reader?.valueFrom?.secretKeyRef?.key, key, pod);
    }
  });

  describe('with certificates as `azimuth ca issue` makes them', () => {
    let file = '';

    before(() => {
      // Where the Secrets would be mounted; the rest of the file as it is.
      const certs = join(folder, 'certs');
      file = join(folder, 'with-certs.yaml');
      const text = readFileSync(mesh.file, 'utf8');
      assert.ok(text.includes(mesh.config.identity!.dir));
      writeFileSync(file, text.replace(mesh.config.identity!.dir, certs));
      const { status, stderr } = azimuth(['ca', 'issue', file], STORE);
      assert.equal(status, 0, stderr);
    });

    const azimuth = (args: readonly string[], env: Record<string, string>) =>
      spawnSync(process.execPath, [...imageEntrypoint().slice(1), ...args], {
        cwd: ROOT,
        env,
        encoding: 'utf8',
        timeout: 120_000,
        killSignal: 'SIGKILL',
      });

    it('mounts for every proxy the Secret of its own folder, where the mesh file looks for it', () => {
      const proxies = ours().filter(({ container }) => container.args[1] === '--name');
      assert.ok(proxies.length > 0);
      for (const { pod, spec, container } of proxies) {
        const name = container.args[2]!;
        const mounted = container.volumeMounts?.find(
          (mount) => mount.mountPath === `${mesh.config.identity!.dir}/${name}`,
        );
        const { secret } = spec.volumes.find((volume) => volume.name === mounted?.name) ?? {};
        assert.equal(secret?.secretName, `azimuth-identity-${name}`, pod);
        // Its group may read it, and nobody else.
        assert.equal(secret.defaultMode, 0o440, pod);
        assert.equal(spec.securityContext?.['fsGroup'], 1000, pod);
        assert.ok(readdirSync(join(folder, 'certs', name)).includes('bundle.pem'), pod);
        for (const other of spec.containers)
          if (other !== container)
            assert.ok(!other.volumeMounts?.some((m) => m.name === mounted!.name), other.name);
      }
    });

    it('runs commands that accept what they are given', () => {
      for (const { pod, container } of ours()) {
        const env = { ...environmentOf(container), AZIMUTH_MESH: file };
        const { status, stdout, stderr } = azimuth([...container.args, '--check'], env);
        assert.equal(status, 0, `${pod}: ${stderr}`);
        assert.match(stdout, /^\S[^\n]*\n$/, 'one line on stdout');
      }
      for (const [, pod] of pods()) {
        for (const { command, args, ...container } of pod.containers) {
          if (command === undefined) continue;
          const [, ...rest] = command;
          const { status, stderr } = spawnSync(process.execPath, [...rest, ...args, '--check'], {
            cwd: ROOT,
            env: environmentOf(container as Container),
            encoding: 'utf8',
            timeout: 120_000,
            killSignal: 'SIGKILL',
          });
          assert.equal(status, 0, stderr);
        }
      }
    });
  });
});
