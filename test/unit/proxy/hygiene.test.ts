import assert from 'node:assert/strict';
import type { Span } from '../../../telemetry/otlp-objects.ts';
import { answering, get, type LabSettings, withLab } from '../../helpers/proxy-lab.ts';

/** Sends one request; returns the fields that arrived upstream, lower-cased names, and the answer. */
async function carry(
  settings: LabSettings,
  ...fields: string[]
): Promise<{ fields: Map<string, string[]>; answer: string; host: string }> {
  let upstream = '';
  let answer = '';
  await withLab(settings, async (lab) => {
    answer = await lab.exchange(get('/', ...fields), 'ok');
    upstream = lab.upstream.peers[0]!.received;
  });
  const map = new Map<string, string[]>();
  for (const line of upstream.split('\r\n').slice(1, -2)) {
    const name = line.slice(0, line.indexOf(':')).toLowerCase();
    map.set(name, [...(map.get(name) ?? []), line.slice(line.indexOf(':') + 2)]);
  }
  return { fields: map, answer, host: '' };
}

const HOP_BY_HOP = [
  'Connection: keep-alive, x-secret, upgrade',
  'Keep-Alive: timeout=5',
  'Proxy-Connection: keep-alive',
  'TE: trailers',
  'Upgrade: h2c',
  'HTTP2-Settings: AAMAAABkAAQAAP__',
  'Proxy-Authorization: Basic abc',
  'Trailer: x',
  'X-Secret: nominated',
];

describe('Header hygiene', () => {
  for (const side of ['ingress', 'inbound', 'outbound'] as const) {
    it(`ends hop-by-hop and nominated fields at the ${side} proxy`, async () => {
      const { fields } = await carry({ side }, ...HOP_BY_HOP, 'x-kept: 1');
      for (const line of HOP_BY_HOP) {
        assert.equal(fields.has(line.slice(0, line.indexOf(':')).toLowerCase()), false, line);
      }
      assert.deepEqual(fields.get('x-kept'), ['1']);
    });
  }

  it('sets its own fields after the nominated ones are gone, so that nobody can strip them', async () => {
    const { fields } = await carry(
      {},
      'Connection: azimuth-peer, traceparent, x-forwarded-for, x-request-id',
    );
    assert.deepEqual(fields.get('azimuth-peer'), ['gateway;edge']);
    assert.deepEqual(fields.get('x-forwarded-for'), ['127.0.0.1']);
    assert.equal(fields.get('traceparent')?.length, 1);
    assert.equal(fields.get('x-request-id')?.length, 1);
  });

  it('lets nobody outside say what only the mesh may say', async () => {
    const { fields } = await carry(
      {},
      'azimuth-peer: workload;payments',
      'Azimuth-Anything: 1',
      'x-azimuth-direction: east_west',
      'x-forwarded-for: 10.0.0.1',
      'X-Forwarded-Proto: https',
      'x-forwarded-host: evil.example',
      'x-forwarded-client-cert: By=spiffe://x',
      'x-forwarded-port: 1',
      'Forwarded: for=10.0.0.1',
      'x-real-ip: 10.0.0.1',
      'x-envoy-internal: true',
      'l5d-dst-override: x',
      'baggage: a=b',
      'tracestate: a=b',
      'x-request-id: theirs',
    );
    assert.deepEqual(fields.get('azimuth-peer'), ['gateway;edge']);
    assert.deepEqual(fields.get('x-forwarded-for'), ['127.0.0.1']);
    assert.deepEqual(fields.get('x-forwarded-proto'), ['http']);
    assert.deepEqual(fields.get('x-forwarded-host'), ['shop.example']);
    assert.match(fields.get('x-request-id')![0]!, /^[0-9a-f]{32}$/);
    // Said anew for those who read this one; the client sent one.
    assert.deepEqual(fields.get('forwarded'), ['for=127.0.0.1;proto=http;host="shop.example"']);
    assert.deepEqual([...fields.keys()].sort(), [
      'azimuth-peer',
      'forwarded',
      'host',
      'traceparent',
      'x-forwarded-for',
      'x-forwarded-host',
      'x-forwarded-proto',
      'x-request-id',
    ]);
  });

  it('carries what the gateway set through sidecars', async () => {
    const { fields } = await carry(
      { side: 'inbound', meshOnly: true, meshed: false },
      'azimuth-peer: gateway;edge',
      'x-forwarded-for: 203.0.113.7',
      'x-request-id: 1234',
      'baggage: a=b',
      'Authorization: Bearer x',
      'Authorization: Bearer y',
    );
    assert.deepEqual(fields.get('x-forwarded-for'), ['203.0.113.7']);
    assert.deepEqual(fields.get('x-request-id'), ['1234']);
    assert.deepEqual(fields.get('baggage'), ['a=b']);
    assert.deepEqual(fields.get('authorization'), ['Bearer x', 'Bearer y']);
    assert.equal(fields.has('azimuth-peer'), false, 'the application does not get it');
  });

  it('names the caller to a meshed target and to no other', async () => {
    const meshed = await carry({ side: 'outbound' }, 'azimuth-peer: workload;forged');
    assert.deepEqual(meshed.fields.get('azimuth-peer'), ['workload;orders']);
    const external = await carry({ side: 'outbound', meshed: false, targetRole: 'external' });
    assert.equal(external.fields.has('azimuth-peer'), false);
  });

  it('keeps what is internal out of answers that leave the mesh', async () => {
    const script = answering(
      'HTTP/1.1 200 OK\r\nServer: catalog/1\r\nazimuth-build: 7\r\nx-envoy-upstream: a\r\ntraceresponse: 00\r\n' +
        'Connection: x-internal\r\nx-internal: 1\r\nKeep-Alive: timeout=5\r\nProxy-Authenticate: Basic\r\n' +
        'Set-Cookie: a=1\r\nSet-Cookie: b=2\r\nContent-Length: 2\r\n\r\nok',
    );
    const { answer } = await carry({ script });
    assert.equal(
      answer,
      'HTTP/1.1 200 OK\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\ncontent-length: 2\r\n\r\nok',
    );
    const inner = await carry({ script, side: 'inbound' });
    assert.match(inner.answer, /Server: catalog/);
    assert.ok(!inner.answer.includes('x-internal'));
  });

  it('forwards __proto__ and constructor as the names that they are', async () => {
    const { fields } = await carry({ side: 'inbound' }, '__proto__: 1', 'constructor: 2');
    assert.deepEqual([fields.get('__proto__'), fields.get('constructor')], [['1'], ['2']]);
  });
});

describe('Trace context of a hop', () => {
  const TRACE = '4bf92f3577b34da6a3ce929d0e0e4736';
  const PARENT = '00f067aa0ba902b7';
  const sent = (upstream: string): string[] =>
    /traceparent: 00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})\r/.exec(upstream)!.slice(1);

  async function trace(
    settings: LabSettings,
    ...fields: string[]
  ): Promise<{ sent: string[]; span: Span; upstream: string }> {
    const { span, upstream } = await hopOf(settings, fields);
    assert.equal(upstream.match(/traceparent/gi)?.length, 1);
    const [traceId, parentId] = sent(upstream);
    assert.equal(traceId, span.traceId);
    assert.equal(BigInt(`0x${parentId!}`), BigInt(`0x${span.spanId}`) ^ 1n);
    assert.equal(BigInt(`0x${span.spanId}`) & 15n, 0n);
    return { sent: sent(upstream), span, upstream };
  }
  async function hopOf(
    settings: LabSettings,
    fields: string[],
  ): Promise<{ span: Span; upstream: string }> {
    let upstream = '';
    let span: Span | undefined;
    await withLab(settings, async (lab) => {
      await lab.exchange(get('/', ...fields), 'ok');
      ({ span } = await lab.hop());
      upstream = lab.upstream.peers[0]!.received;
    });
    return { span: span!, upstream };
  }

  it('is restarted at the gateway, theirs kept as a link, sampled and random set', async () => {
    const { span, sent, upstream } = await trace(
      {},
      `traceparent: 00-${TRACE}-${PARENT}-00`,
      'tracestate: a=b',
    );
    assert.notEqual(span.traceId, TRACE);
    assert.equal(span.parentSpanId, '');
    assert.deepEqual(
      span.links.map((l) => [l.traceId, l.spanId]),
      [[TRACE, PARENT]],
    );
    assert.equal(sent[2], '03');
    assert.equal(span.flags & 0xff, 3);
    assert.ok(!upstream.includes('tracestate'));
  });

  it('continues at a sidecar, with flags and state as they came', async () => {
    const { span, sent, upstream } = await trace(
      { side: 'inbound' },
      `traceparent: 00-${TRACE}-${PARENT}-02`,
      'tracestate: a=b',
      'tracestate: c=d',
    );
    assert.deepEqual([span.traceId, span.parentSpanId], [TRACE, PARENT]);
    assert.equal(sent[2], '02');
    assert.equal(span.traceState, 'a=b,c=d');
    assert.ok(upstream.includes('tracestate: a=b\r\ntracestate: c=d'));
    assert.equal(span.flags & 0x300, 0x300, 'the parent is remote');
  });

  const invalid: readonly [string, string[]][] = [
    ['none', []],
    ['two', [`traceparent: 00-${TRACE}-${PARENT}-01`, `traceparent: 00-${TRACE}-${PARENT}-01`]],
    ['a malformed one', [`traceparent: 00-${TRACE}-${PARENT}`]],
    ['an oversized one', [`traceparent: 00-${TRACE}-${PARENT}-01-${'a'.repeat(2000)}`]],
    ['one of zeros', [`traceparent: 00-${'0'.repeat(32)}-${PARENT}-01`]],
    [
      'one that Connection nominates',
      [`traceparent: 00-${TRACE}-${PARENT}-01`, 'Connection: traceparent'],
    ],
  ];
  for (const [name, fields] of invalid) {
    for (const side of ['ingress', 'outbound'] as const) {
      it(`begins anew at ${side} with ${name}, and drops the state`, async () => {
        const { span, upstream } = await trace({ side }, ...fields, 'tracestate: a=b');
        assert.notEqual(span.traceId, TRACE);
        assert.deepEqual([span.parentSpanId, span.links, span.traceState], ['', [], '']);
        assert.ok(!upstream.includes('tracestate'));
      });
    }
  }
});

describe('Peers and edge classes', () => {
  const facts = async (settings: LabSettings, ...fields: string[]): Promise<readonly unknown[]> => {
    let result: readonly unknown[] = [];
    await withLab(settings, async (lab) => {
      await lab.exchange(get('/', ...fields), 'ok');
      const hop = await lab.hop();
      result = [
        hop.attribute('azimuth.edge_class'),
        hop.attribute('azimuth.traffic.direction'),
        hop.attribute('service.peer.name') ?? '',
        ['', 'external', 'gateway', 'bff', 'gateway_bff', 'workload'][hop.hop.peerRole],
        ['unknown', 'mtls', 'listener', 'configuration'][hop.hop.peerKnown],
      ];
    });
    return result;
  };

  it('the gateway knows that its peers are outside, whatever they say', async () => {
    assert.deepEqual(await facts({}, 'azimuth-peer: workload;orders'), [
      'external_to_gateway',
      'north_south',
      '',
      'external',
      'listener',
    ]);
  });

  it('a mesh_only listener believes azimuth-peer', async () => {
    const settings = { side: 'inbound', meshOnly: true, meshed: false } as const;
    assert.deepEqual(await facts(settings, 'azimuth-peer: gateway;edge'), [
      'gateway_to_workload',
      'east_west',
      'edge',
      'gateway',
      'configuration',
    ]);
    assert.deepEqual(await facts(settings, 'azimuth-peer: bff;web-bff'), [
      'bff_to_workload',
      'east_west',
      'web-bff',
      'bff',
      'configuration',
    ]);
    assert.deepEqual(await facts(settings, 'azimuth-peer: workload;orders'), [
      'workload_to_workload',
      'east_west',
      'orders',
      'workload',
      'configuration',
    ]);
  });

  const unknown = ['unknown', 'unknown', '', '', 'unknown'];
  for (const value of [
    '',
    'workload',
    'external;x',
    ';x',
    'root;x',
    'workload;UPPER',
    'workload;a b',
    `workload;${'a'.repeat(64)}`,
  ]) {
    it(`does not believe "${value}"`, async () => {
      const settings = { side: 'inbound', meshOnly: true, meshed: false } as const;
      assert.deepEqual(await facts(settings, `azimuth-peer: ${value}`), unknown);
    });
  }

  it('believes nobody on a listener that is not mesh_only, nor two headers', async () => {
    assert.deepEqual(await facts({ side: 'inbound' }, 'azimuth-peer: gateway;edge'), unknown);
    assert.deepEqual(
      await facts(
        { side: 'inbound', meshOnly: true },
        'azimuth-peer: gateway;edge',
        'azimuth-peer: workload;orders',
      ),
      unknown,
    );
  });

  it('lets callers make up only so many names', () =>
    withLab(
      { side: 'inbound', meshOnly: true, meshed: false, limits: { peersPerListener: 2 } },
      async (lab) => {
        for (const name of ['a', 'b', 'c', 'a']) {
          await lab.exchange(get('/', `azimuth-peer: workload;${name}`), 'ok');
        }
        const names = (await lab.hops(4)).map((hop) => hop.attribute('service.peer.name'));
        assert.deepEqual(names, ['a', 'b', undefined, 'a']);
      },
    ));

  it('outbound is loopback, and egress where the target is outside the mesh', async () => {
    assert.deepEqual(await facts({ side: 'outbound' }), [
      'loopback',
      'neither',
      'orders',
      'workload',
      'listener',
    ]);
    assert.deepEqual(await facts({ side: 'outbound', meshed: false, targetRole: 'external' }), [
      'workload_to_external',
      'north_south',
      'orders',
      'workload',
      'listener',
    ]);
  });
});
