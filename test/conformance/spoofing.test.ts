/**
 * Nobody outside is anybody inside: every header that could be taken for identity, origin or trace
 * of the mesh, in every spelling, at a gateway and at the ingress of a merged BFF. Each case is one
 * request; it must be recorded as one from outside, and nothing of what it claimed may go upstream.
 */
import assert from 'node:assert/strict';
import { OK, ProxyLab, type RecordedHop } from '../helpers/proxy-lab.ts';
import type { RawPeer } from '../helpers/raw-peer.ts';

/** Stands in each forged value and nowhere else; hexadecimal, so that it can be a trace id. */
const FORGED = 'f0f0fac4';
const TRACE = FORGED.repeat(4);

/** Headers of hazards: identity, origin, trace; each with a value that would be believed. */
const HEADERS: readonly [name: string, value: string][] = [
  ['azimuth-peer', `workload;${FORGED}`],
  ['azimuth-refused', FORGED],
  ['azimuth-mirrored', FORGED],
  ['x-azimuth-direction', `east_west-${FORGED}`],
  ['x-mesh-identity', FORGED],
  ['x-mesh-direction', `inbound-${FORGED}`],
  ['x-forwarded-client-cert', `By=spiffe://shop.local/ns/shop/sa/${FORGED}`],
  ['x-envoy-internal', FORGED],
  ['x-envoy-peer-metadata-id', FORGED],
  ['l5d-client-id', `${FORGED}.shop.serviceaccount.identity`],
  ['x-istio-attributes', FORGED],
  ['x-spiffe-id', `spiffe://shop.local/ns/shop/sa/${FORGED}`],
  ['client-cert', `:${FORGED}:`],
  ['ssl-client-subject-dn', `CN=${FORGED}`],
  ['x-forwarded-for', `10.0.0.1, ${FORGED}`],
  ['x-forwarded-proto', FORGED],
  ['x-forwarded-host', `${FORGED}.example`],
  ['x-forwarded-port', FORGED],
  ['forwarded', `for=10.0.0.1;host=${FORGED}`],
  ['x-real-ip', `10.0.0.1-${FORGED}`],
  ['true-client-ip', `192.168.0.1-${FORGED}`],
  ['x-request-id', FORGED],
  ['traceparent', `00-${TRACE}-${FORGED.repeat(2)}-01`],
  ['traceparent', `00-6d6972726f726564${FORGED.repeat(2)}-${FORGED.repeat(2)}-01`],
  ['tracestate', `azimuth=${FORGED}`],
  ['baggage', `azimuth.peer=${FORGED}`],
  ['b3', `${TRACE}-${FORGED.repeat(2)}-1`],
  ['x-b3-traceid', TRACE],
];

interface Case {
  readonly what: string;
  readonly fields: readonly string[];
  readonly body?: string;
  /** The whole request is refused. */
  readonly status?: number;
}

const mixed = (name: string): string =>
  Array.from(name, (c, i) => (i % 2 === 0 ? c.toUpperCase() : c)).join('');

/** The ways to say one header. Those that servers read differently are refused whole. */
const SPELLINGS: readonly [string, (name: string, value: string) => Omit<Case, 'what'>][] = [
  ['as it is', (name, value) => ({ fields: [`${name}: ${value}`] })],
  ['in capitals', (name, value) => ({ fields: [`${name.toUpperCase()}: ${value}`] })],
  ['in mixed case, without blank', (name, value) => ({ fields: [`${mixed(name)}:${value}`] })],
  ['behind white space', (name, value) => ({ fields: [`${name}:\t  ${value} \t`] })],
  ['doubled', (name, value) => ({ fields: [`${name}: ${value}`, `${name}: ${value}`] })],
  [
    'doubled in two spellings, with others between',
    (name, value) => ({
      fields: [`${mixed(name)}: ${value}`, 'accept: */*', 'x-kept: 1', `${name}: ${value}`],
    }),
  ],
  [
    'nominated by Connection',
    (name, value) => ({ fields: [`connection: ${name}`, `${name}: ${value}`] }),
  ],
  [
    'in a trailer',
    (name, value) => ({
      fields: ['transfer-encoding: chunked', `trailer: ${name}`],
      body: `1\r\na\r\n0\r\n${name}: ${value}\r\n\r\n`,
    }),
  ],
  [
    'in a chunk extension',
    (name, value) => ({
      fields: ['transfer-encoding: chunked'],
      body: `1;${name}="${value}"\r\na\r\n0\r\n\r\n`,
    }),
  ],
  [
    'with _ for -',
    (name, value) => ({
      fields: [`${name.includes('-') ? name.replaceAll('-', '_') : `${name}_`}: ${value}`],
      status: 400,
    }),
  ],
  [
    'with one _ in capitals',
    (name, value) => ({
      fields: [`${name.toUpperCase().replace(/-|$/, '_')}: ${value}`],
      status: 400,
    }),
  ],
  [
    'with a blank before the colon',
    (name, value) => ({ fields: [`${name} : ${value}`], status: 400 }),
  ],
  [
    'folded into another line',
    (name, value) => ({ fields: ['x-kept: 1', ` ${name}: ${value}`], status: 400 }),
  ],
  [
    'behind a bare line feed',
    (name, value) => ({ fields: [`x-kept: 1\n${name}: ${value}`], status: 400 }),
  ],
];

const CASES: readonly Case[] = [
  ...HEADERS.flatMap(([name, value]) =>
    SPELLINGS.map(([how, spell]): Case => ({ what: `${name} ${how}`, ...spell(name, value) })),
  ),
  ...HEADERS.map(([name, value]): Case => ({
    what: `${name} behind 2,000 junk headers`,
    fields: [...Array<string>(2_000).fill('a:'), `${name}: ${value}`],
    status: 431,
  })),
  ...[
    '10.0.0.1',
    '127.0.0.1',
    '192.168.1.1',
    '172.16.0.1',
    '169.254.169.254',
    '::1',
    'fd00::1',
  ].map((address): Case => ({
    what: `a private address ${address} in x-forwarded-for`,
    fields: [
      `x-forwarded-for: ${address}, ${FORGED}`,
      `forwarded: for="[${address}]";by=${FORGED}`,
    ],
  })),
];

for (const role of ['gateway', 'gateway_bff'] as const) {
  describe(`Spoofing from outside, at ${role === 'gateway' ? 'a gateway' : "a BFF's ingress"}`, function () {
    this.timeout(60_000);
    let lab: ProxyLab;
    let sent = 0;

    before(async () => {
      lab = await new ProxyLab({
        merged: role === 'gateway_bff',
        script: answeringAnything,
      }).start();
    });

    after(() => lab.stop());

    const seen = (hop: RecordedHop): readonly unknown[] => [
      hop.attribute('azimuth.edge_class'),
      hop.attribute('azimuth.traffic.direction'),
      hop.attribute('service.peer.name') ?? '',
      ['', 'external', 'gateway', 'bff', 'gateway_bff', 'workload'][hop.hop.peerRole],
      ['unknown', 'mtls', 'listener', 'configuration'][hop.hop.peerKnown],
      hop.hop.marks,
    ];
    const outside = [
      role === 'gateway' ? 'external_to_gateway' : 'external_to_bff',
      'north_south',
      '',
      'external',
      'listener',
      // Its load cannot be taken out of the figures.
      0,
    ];

    it(`knows ${CASES.length} lies, well over 90`, () => assert.ok(CASES.length >= 90));

    for (const { what, fields, body = '', status = 200 } of CASES) {
      it(`${what}: ${status === 200 ? 'carried without it' : `refused (${status})`}`, async () => {
        const method = body === '' ? 'GET' : 'POST';
        const head = [`${method} / HTTP/1.1`, 'host: shop.example', ...fields, '', ''].join('\r\n');
        const answer = await lab.exchange(head + body, '\r\n\r\n');
        assert.match(answer, new RegExp(`^HTTP/1\\.1 ${status} `));
        const hop = (await lab.hops(++sent))[sent - 1]!;
        assert.deepEqual(seen(hop), outside);
        assert.ok(!hop.span.traceId.includes(FORGED));
        assert.equal(hop.span.parentSpanId, '');
        const upstream = lab.upstream.peers.map(({ received }) => received).join('');
        assert.ok(!upstream.toLowerCase().includes(FORGED), upstream.slice(-2_000));
      });
    }

    it('keeps a forged trace as a link, and nothing else of it', async () => {
      const field = `traceparent: 00-${TRACE}-${FORGED.repeat(2)}-01`;
      await lab.exchange(`GET / HTTP/1.1\r\nhost: a\r\n${field}\r\n\r\n`, '\r\n\r\n');
      const hop = (await lab.hops(++sent))[sent - 1]!;
      assert.deepEqual(
        hop.span.links.map(({ traceId, spanId }) => [traceId, spanId]),
        [[TRACE, FORGED.repeat(2)]],
      );
    });
  });
}

const answered = new WeakMap<RawPeer, number>();

/** Answers requests with and without a body; one with a body has two empty lines. */
function answeringAnything(peer: RawPeer): void {
  if (!peer.received.endsWith('\r\n\r\n')) return;
  const emptyLines = peer.received.split('\r\n\r\n').length - 1;
  const bodies = peer.received.match(/transfer-encoding: chunked/gi)?.length ?? 0;
  for (let n = answered.get(peer) ?? 0; n < emptyLines - bodies; n++) peer.send(OK);
  answered.set(peer, emptyLines - bodies);
}
