import assert from 'node:assert/strict';
import type { Cluster, MirrorPart } from '../../../mesh/part.ts';
import {
  attemptEnd,
  FUNCTIONS,
  HOP_MARKS,
  type ProxyFunction,
} from '../../../telemetry/hop-record.ts';
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
import type { RawPeer } from '../../helpers/raw-peer.ts';

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
  settings: LabSettings & {
    readonly shadow?: Script;
    readonly mirror?: Partial<MirrorPart>;
    readonly route?: { readonly path: string; readonly upgrades?: readonly string[] };
  },
  run: (lab: ProxyLab, shadow: FakeUpstream) => Promise<void>,
): Promise<void> {
  const {
    shadow: script = answering(SHADOW_OK),
    mirror,
    route = { path: '/*' },
    ...lab
  } = settings;
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
  const one = await new ProxyLab({ routes: [{ ...route, mirror: part }], ...lab }).start();
  try {
    await run(one, shadow);
  } finally {
    shadow.stop();
    await one.stop();
  }
}

const has = (functions: number, name: ProxyFunction): boolean =>
  ((functions >>> FUNCTIONS.indexOf(name)) & 1) === 1;
/** Requests without a body that these connections got. */
const requestsAt = (peers: readonly RawPeer[]): number =>
  peers.reduce((sum, { received }) => sum + received.split('\r\n\r\n').length - 1, 0);
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
      await client.send(get('/a?b=1', 'X-One: 1')).until('\r\n\r\nok');
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

  it('leaves the copy to chance where a share is asked for, and marks the request that was copied', () =>
    withMirror({ mirror: { percent: 50 } }, async (lab, shadow) => {
      const client = await lab.connect();
      for (let i = 1; i <= 20; i++) {
        await client.send(get(`/${i}`)).until((peer) => peer.received.split('200 OK').length > i);
      }
      const { mirror } = await copies(lab);
      // The lab's chance is seeded.
      assert.ok(mirror!.sent > 4 && mirror!.sent < 16, `${mirror!.sent} of 20`);
      await shadow.until(({ peers }) => requestsAt(peers) === mirror!.sent);
      const hops = await lab.hops(20 + mirror!.sent);
      const copied = hops.filter((hop) => isRequest(hop) && has(hop.hop.functions, 'mirror'));
      assert.equal(copied.length, mirror!.sent);
      const phase = FUNCTIONS.indexOf('mirror');
      for (const { hop } of copied) assert.ok(hop.phaseIds.includes(phase));
    }));

  /** Answers when the body is whole. */
  const patient: Script = (peer) => {
    if (/(?:f|0\r\n\r\n)$/.test(peer.received)) peer.send(OK);
  };

  it('sends the body too, framed as the request’s, once that is whole', () =>
    withMirror({ script: patient }, async (lab, shadow) => {
      const client = await lab.connect();
      client.send('POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\n\r\nabc');
      await lab.upstream.until(({ peers }) => peers[0]?.received.endsWith('abc') === true);
      assert.equal(shadow.peers.length, 0);
      client.send('def');
      await shadow.until(({ peers }) => peers[0]?.received.endsWith('\r\n\r\nabcdef') === true);
      await client.until('\r\n\r\nok');
      await lab.hopWhere(isMirrored);
      const chunked = await lab.connect();
      chunked.send(
        'POST /b HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n',
      );
      await shadow.until(({ peers }) =>
        peers.at(-1)!.received.endsWith('\r\n\r\n5\r\nabcde\r\n0\r\n\r\n'),
      );
      await chunked.until('\r\n\r\nok');
    }));

  it('does not copy a request whose body is longer than it may be, and carries it all the same', () =>
    withMirror({ script: patient, mirror: { body_bytes_max: 5 } }, async (lab, shadow) => {
      const client = await lab.connect();
      client.send('POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\n\r\nabcdef');
      await client.until('\r\n\r\nok');
      const { mirror, requests_in_flight: inFlight } = await copies(lab);
      assert.deepEqual(mirror, { sent: 0, skipped: { body_too_large: 1 }, failed: {} });
      assert.equal(inFlight, 0);
      assert.equal(shadow.peers.length, 0);
      assert.equal((await lab.limits()).held_bytes, 0);
    }));

  it('forgets a copy whose request ended before it was whole', () =>
    withMirror({ script: patient }, async (lab, shadow) => {
      const client = await lab.connect();
      client.send('POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\n\r\nabc');
      await lab.upstream.until(({ peers }) => peers[0]?.received.endsWith('abc') === true);
      client.socket.destroy();
      await lab.hopWhere(isRequest);
      const { mirror, requests_in_flight: inFlight } = await copies(lab);
      assert.deepEqual(mirror, { sent: 0, skipped: { request_ended: 1 }, failed: {} });
      assert.equal(inFlight, 0);
      assert.equal(shadow.peers.length, 0);
    }));

  const SILENT: Script = () => undefined;

  it('keeps no more copies in flight than it may, and no request waits for one', () =>
    withMirror({ shadow: SILENT, limits: { mirrorsPerCluster: 2 } }, async (lab, shadow) => {
      const client = await lab.connect();
      for (let i = 1; i <= 5; i++) {
        await client.send(get('/')).until((peer) => peer.received.split('200 OK').length > i);
      }
      await shadow.until(({ peers }) => requestsAt(peers) === 2);
      const { mirror } = await copies(lab);
      assert.deepEqual(mirror, { sent: 2, skipped: { in_flight: 3 }, failed: {} });
      lab.deadlines.advance(5_000);
      const slow = await lab.hopWhere(isMirrored);
      assert.deepEqual(
        [slow.status, slow.flags, slow.answeredBy, slow.attribute(ATTR.errorType)],
        [504, ['UT'], 'proxy', 'route_timeout'],
      );
      await client.send(get('/')).until((peer) => peer.received.split('200 OK').length > 6);
      await shadow.until(({ peers }) => requestsAt(peers) === 3);
      const after = await copies(lab);
      assert.deepEqual(after.mirror, {
        sent: 3,
        skipped: { in_flight: 3 },
        failed: { route_timeout: 2 },
      });
    }));

  const troubles: readonly [string, Script, string][] = [
    ['resets', (peer) => void peer.socket.resetAndDestroy(), 'upstream_reset'],
    ['closes', (peer) => void peer.socket.end(), 'upstream_closed'],
    ['talks nonsense', (peer) => void peer.send('SMTP ready\r\n\r\n'), 'upstream_protocol_error'],
    [
      'switches protocols',
      (peer) => void peer.send('HTTP/1.1 101 Go\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n'),
      'upstream_protocol_error',
    ],
    [
      'sends more than its answer',
      (peer) => void peer.send('HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nab'),
      'upstream_protocol_error',
    ],
  ];
  for (const [what, script, errorType] of troubles) {
    it(`tells the client nothing of a target that ${what}, and counts it`, () => {
      const onRequest: Script = (peer, index) => {
        if (peer.received.includes('\r\n\r\n') && !peer.ended) script(peer, index);
      };
      return withMirror({ shadow: onRequest }, async (lab) => {
        const client = await lab.connect();
        await client.send(get('/')).until('\r\n\r\nok');
        const copy = await lab.hopWhere(isMirrored);
        assert.equal(copy.attribute(ATTR.errorType), errorType);
        assert.equal(attemptEnd(copy.hop.attempts[0]!.bits), errorType);
        await client.send(get('/')).until((peer) => peer.received.split('200 OK').length > 2);
        const request = await lab.hopWhere(isRequest);
        assert.deepEqual([request.status, request.flags], [200, []]);
        const { mirror } = await copies(lab);
        assert.ok(mirror!.failed[errorType]! >= 1);
      });
    });
  }

  it('tells the client nothing of a target that is not there', () =>
    withMirror({}, async (lab, shadow) => {
      shadow.stop();
      const client = await lab.connect();
      for (let i = 1; i <= 3; i++) {
        await client.send(get('/')).until((peer) => peer.received.split('200 OK').length > i);
      }
      const copy = await lab.hopWhere(isMirrored);
      assert.deepEqual([copy.status, copy.flags], [503, ['UF']]);
      assert.equal(copy.attribute(ATTR.errorType), 'upstream_connect_failed');
    }));

  it('reads answers of every framing to their end and uses their connection again', () => {
    const answers = [
      'HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n',
      'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\nX: y\r\n\r\n',
      'HTTP/1.1 500 Oh\r\nContent-Length: 3\r\n\r\nbad',
      'HTTP/1.1 304 Not Modified\r\nContent-Length: 3\r\n\r\n',
    ];
    let next = 0;
    const heads = new WeakMap<RawPeer, number>();
    const shadow: Script = (peer) => {
      const here = peer.received.split('\r\n\r\n').length - 1;
      if (here === (heads.get(peer) ?? 0)) return;
      heads.set(peer, here);
      // In two packets, cut in the middle of the head.
      const answer = answers[next++]!;
      peer.send(answer.slice(0, 12)).send(answer.slice(12));
    };
    return withMirror({ shadow }, async (lab, target) => {
      const client = await lab.connect();
      for (let i = 1; i <= answers.length; i++) {
        await client.send(get('/')).until((peer) => peer.received.split('200 OK').length > i);
        // The next copy finds the connection of this one.
        const hops = await lab.hops(2 * i);
        assert.equal(hops.filter(isMirrored).length, i);
      }
      const hops = (await lab.hops(2 * answers.length)).filter(isMirrored);
      assert.deepEqual(
        hops.map(({ status }) => status),
        [204, 200, 500, 304],
      );
      assert.equal(hops[2]!.attribute(ATTR.errorType), '5xx');
      assert.equal(target.peers.length, 1);
    });
  });

  it('copies no upgrade, and no copy', async () => {
    const upgrade = ['Upgrade: websocket', 'Connection: upgrade'];
    const route = { path: '/*', upgrades: ['websocket'] };
    await withMirror({ route }, async (lab, shadow) => {
      const client = await lab.connect();
      await client.send(get('/', ...upgrade)).until('\r\n\r\nok');
      const { mirror } = await copies(lab);
      assert.deepEqual(mirror, { sent: 0, skipped: { upgrade: 1 }, failed: {} });
      assert.equal(shadow.peers.length, 0);
    });
    await withMirror({ side: 'outbound' }, async (lab, shadow) => {
      const client = await lab.connect();
      await client.send(get('/', 'azimuth-mirrored: 1')).until('\r\n\r\nok');
      const hop = await lab.hop();
      assert.equal(isMirrored(hop), true);
      const { mirror } = await copies(lab);
      assert.deepEqual(mirror, { sent: 0, skipped: {}, failed: {} });
      assert.equal(shadow.peers.length, 0);
    });
  });

  it('records the copies that are under way when the proxy stops', () =>
    withMirror({ shadow: SILENT }, async (lab, shadow) => {
      const client = await lab.connect();
      await client.send(get('/')).until('\r\n\r\nok');
      await shadow.until(({ peers }) => requestsAt(peers) === 1);
      client.socket.destroy();
      await lab.stopProxy();
      const copy = await lab.hopWhere(isMirrored);
      assert.equal(copy.attribute(ATTR.errorType), 'shutdown');
    }));
});

describe('The mark of a copy', () => {
  const TRACE = `00-6d6972726f726564${'ab'.repeat(8)}-${'cd'.repeat(8)}-03`;
  const BY_HEADER = 'azimuth-mirrored: 1';
  const BY_TRACE = `traceparent: ${TRACE}`;

  /** Whether the hop is marked, what went on of the mark, and whether the trace did. */
  async function carried(
    settings: LabSettings,
    ...lines: string[]
  ): Promise<{ marked: boolean; header: boolean; trace: boolean; links: number }> {
    const lab = await new ProxyLab(settings).start();
    try {
      const client = await lab.connect();
      await client.send(get('/', ...lines)).until('\r\n\r\nok');
      const hop = await lab.hop();
      const { received } = lab.upstream.peers[0]!;
      return {
        marked: isMirrored(hop),
        header: /^azimuth-mirrored:/im.test(received),
        trace: received.includes('6d6972726f726564'),
        links: hop.span.links.length,
      };
    } finally {
      await lab.stop();
    }
  }

  const known = { side: 'inbound', meshOnly: true } as const;
  const PEER = 'azimuth-peer: gateway;edge';
  const MARKED = { marked: true, header: true, links: 0 };
  const NOT = { marked: false, header: false, trace: false };

  it('is believed from a caller that is known, in the header or in the trace, and goes on', async () => {
    assert.deepEqual(await carried(known, PEER, BY_TRACE), { ...MARKED, trace: true });
    assert.deepEqual(await carried(known, PEER, BY_HEADER), { ...MARKED, trace: false });
  });

  it('is believed from the local workload, which passes it on', async () => {
    assert.deepEqual(await carried({ side: 'outbound' }, BY_TRACE), { ...MARKED, trace: true });
    assert.deepEqual(await carried({ side: 'outbound' }, BY_HEADER), { ...MARKED, trace: false });
  });

  it('is not told to an external, but for the trace that it is in', async () => {
    const external = { side: 'outbound', targetRole: 'external', meshed: false } as const;
    assert.deepEqual(await carried(external, BY_TRACE, BY_HEADER), {
      marked: true,
      header: false,
      trace: true,
      links: 0,
    });
  });

  it('is nobody’s word who is not known: the trace is restarted', async () => {
    for (const settings of [{ side: 'inbound' }, known] as const) {
      assert.deepEqual(await carried(settings, BY_TRACE, BY_HEADER), { ...NOT, links: 1 });
    }
  });

  it('cannot be had from outside, in whatever spelling', async () => {
    const spellings = [
      BY_HEADER,
      'Azimuth-Mirrored: 1',
      'x-azimuth-mirrored: 1',
      'Connection: azimuth-mirrored\r\nazimuth-mirrored: 1',
      'azimuth-mirrored: 0\r\nazimuth-mirrored: 1',
    ];
    for (const merged of [false, true]) {
      for (const spelling of spellings) {
        const found = await carried({ merged }, spelling, BY_TRACE, PEER);
        assert.deepEqual(found, { ...NOT, links: 1 }, spelling);
      }
    }
  });
});
