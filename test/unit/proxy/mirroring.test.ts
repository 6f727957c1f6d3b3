import assert from 'node:assert/strict';
import type { Cluster, MirrorPart } from '../../../mesh/part.ts';
import { HOP_MARKS } from '../../../telemetry/hop-record.ts';
import { ATTR } from '../../../telemetry/names.ts';
import {
  answering,
  FakeUpstream,
  get,
  OK,
  ProxyLab,
  type LabSettings,
  type RecordedHop,
  type Script,
} from '../../helpers/proxy-lab.ts';
import { until } from '../../helpers/until.ts';

const SHADOW_OK = 'HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nshadow';

interface ClusterJson {
  readonly clusters: readonly {
    readonly name: string;
    readonly requests_in_flight: number;
    readonly mirror?: {
      sent: number;
      skipped: Record<string, number>;
      failed: Record<string, number>;
    };
  }[];
}

/** A lab whose only route is copied to a second scripted upstream. */
async function withMirror(
  settings: LabSettings & { readonly shadow?: Script; readonly mirror?: Partial<MirrorPart> },
  run: (lab: ProxyLab, shadow: FakeUpstream) => Promise<void>,
): Promise<void> {
  const { shadow: script = answering(SHADOW_OK), mirror, ...lab } = settings;
  const shadow = await new FakeUpstream(script).start();
  const cluster: Cluster = {
    name: 'catalog-next',
    endpoints: [{ host: '127.0.0.1', port: shadow.port }],
    meshed: true,
    role: 'workload',
    connect_timeout_ms: 1_000,
  };
  const part: MirrorPart = {
    cluster,
    percent: 100,
    body_bytes_max: 1_000,
    timeout_ms: 5_000,
    ...mirror,
  };
  const one = await new ProxyLab({ routes: [{ path: '/*', mirror: part }], ...lab }).start();
  try {
    await run(one, shadow);
  } finally {
    shadow.stop();
    await one.stop();
  }
}

const isMirrored = ({ hop }: RecordedHop): boolean => (hop.marks & HOP_MARKS.mirrored) !== 0;
const isRequest = (hop: RecordedHop): boolean => !isMirrored(hop);

/** What `/clusters` says of the cluster of copies. */
async function copies(lab: ProxyLab): Promise<ClusterJson['clusters'][number]> {
  const answer = await fetch(`http://127.0.0.1:${lab.proxy.adminPort()}/clusters`);
  const { workers } = (await answer.json()) as { workers: [ClusterJson] };
  return workers[0].clusters.find(({ mirror }) => mirror !== undefined)!;
}

describe('Mirroring', () => {
  it('sends a copy to the other cluster and throws its answer away', () =>
    withMirror({}, async (lab, shadow) => {
      const client = await lab.connect();
      await client.send(get('/a?b=1', 'X-One: 1\r\n')).until('\r\n\r\nok');
      await shadow.until(({ peers }) => peers[0]?.received.includes('\r\n\r\n') === true);
      const [request] = lab.upstream.peers;
      const copy = shadow.peers[0]!.received;
      assert.match(copy, /^GET \/a\?b=1 HTTP\/1\.1\r\n/);
      // Host as the request had it; what tells a copy is its header alone.
      const lineOf = (text: string, name: string): string | undefined =>
        new RegExp(`^${name}: (.*)\r$`, 'im').exec(text)?.[1];
      for (const name of ['host', 'x-one', 'x-forwarded-for', 'azimuth-peer']) {
        assert.notEqual(lineOf(copy, name), undefined, name);
        assert.equal(lineOf(copy, name), lineOf(request!.received, name), name);
      }
      assert.equal(lineOf(copy, 'azimuth-mirrored'), '1');
      assert.match(lineOf(copy, 'traceparent')!, /^00-6d6972726f726564[0-9a-f]{16}-/);
      assert.equal(lineOf(request!.received, 'azimuth-mirrored'), undefined);
      const mirrored = await lab.hopWhere(isMirrored);
      const original = await lab.hopWhere(isRequest);
      assert.equal(mirrored.attribute(ATTR.target), 'catalog-next');
      assert.equal(mirrored.attribute(ATTR.mirrored), true);
      assert.equal(original.attribute(ATTR.mirrored), undefined);
      assert.equal(mirrored.status, 200);
      assert.notEqual(mirrored.span.traceId, original.span.traceId);
      assert.deepEqual(
        mirrored.span.links.map(({ traceId, spanId }) => [traceId, spanId]),
        [[original.span.traceId, original.span.spanId]],
      );
      assert.equal(client.received.includes('shadow'), false);
    }));
});
