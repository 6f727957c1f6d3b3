/**
 * What textbook proxies got wrong, one named test each, where no other test of proxy/ has it: bytes
 * in, and either the refusal or what arrives upstream.
 */
import assert from 'node:assert/strict';
import { answering, type LabSettings, OK, withLab } from '../helpers/proxy-lab.ts';

const SENTINEL = 'GET /sentinel HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n';
const request = (line: string, ...fields: string[]): string =>
  [`${line} HTTP/1.1`, ...fields, '', ''].join('\r\n');
const withHost = (line: string, ...fields: string[]): string => request(line, 'Host: a', ...fields);

/** Sends bytes and a last request; returns all that arrived upstream and all answers. */
async function carry(
  bytes: string,
  settings: LabSettings = {},
): Promise<{ upstream: string; answers: string }> {
  let upstream = '';
  let answers = '';
  await withLab(settings, async (lab) => {
    const client = await lab.connect();
    client.send(bytes + SENTINEL);
    await client.untilClosed();
    answers = client.received;
    upstream = lab.upstream.peers.map(({ received }) => received).join('');
  });
  return { upstream, answers };
}

describe('What textbook proxies got wrong', () => {
  const refused: readonly [string, number, string, LabSettings?][] = [
    [
      '2,000 tiny fields with a framing behind them',
      431,
      withHost('POST /', ...Array<string>(2_000).fill('a:'), 'Content-Length: 3') + 'abc',
    ],
    ['two Host fields', 400, request('GET /', 'Host: a', 'Host: evil.example')],
    ['X_Mesh_Direction at the gateway', 400, withHost('GET /', 'X_Mesh_Direction: in')],
    [
      'Transfer_Encoding at the gateway',
      400,
      withHost('POST /', 'Transfer_Encoding: chunked') + '0\r\n\r\n',
    ],
    ['a body on TRACE', 400, withHost('TRACE /', 'Content-Length: 3') + 'abc'],
    ['CONNECT', 405, withHost('CONNECT a:443')],
    [
      'an absolute target that names a host no route has',
      404,
      withHost('GET http://169.254.169.254/latest'),
      { routes: [{ path: '/', hosts: ['a'] }] },
    ],
    ['a target with a backslash', 400, withHost('GET /\\evil.example')],
    ['an unfinished address in the target', 400, withHost('GET http://[')],
    ['user information in the target', 400, withHost('GET http://a:b@c/')],
    ['a port beyond 65535 in the target', 400, withHost('GET http://a:99999/')],
    ['a percent sign that escapes nothing', 400, withHost('GET /%')],
    [
      'Connection that nominates the length',
      400,
      withHost('POST /', 'Connection: content-length', 'Content-Length: 3') + 'abc',
    ],
    ['another expectation', 417, withHost('GET /', 'Expect: 200-ok')],
  ];
  for (const [name, status, bytes, settings] of refused) {
    it(`${name}: ${status}, and nothing of it upstream`, async () => {
      const { upstream, answers } = await carry(bytes, settings);
      assert.match(answers, new RegExp(`^HTTP/1\\.1 ${status} `));
      const first = upstream === '' ? '/sentinel' : upstream.split(' ', 2)[1];
      assert.equal(first, '/sentinel');
    });
  }

  const carried: readonly [string, string, (upstream: string) => void, LabSettings?][] = [
    [
      'a length of 010 goes on as 10',
      withHost('POST /', 'Content-Length: 010') + '0123456789',
      (upstream) => {
        assert.match(upstream, /\r\ncontent-length: 10\r\n/);
        assert.match(upstream, /\r\n\r\n0123456789GET \/sentinel /);
      },
    ],
    ...['GET', 'HEAD', 'DELETE', 'OPTIONS'].map(
      (method): [string, string, (upstream: string) => void] => [
        `a chunked body of ${method} that looks like a request stays a body`,
        withHost(`${method} /`, 'Transfer-Encoding: chunked') +
          '16\r\nGET /x HTTP/1.1\r\nA: \r\n\r\n0\r\n\r\n',
        (upstream) => {
          assert.match(upstream, /\r\ntransfer-encoding: chunked\r\n/);
          assert.match(upstream, /\r\n\r\n16\r\nGET \/x HTTP\/1\.1\r\nA: \r\n\r\n0\r\n\r\n/);
        },
      ],
    ),
    [
      'a target that begins with two slashes stays a path',
      withHost('GET //evil.example:99999/x'),
      (upstream) =>
        assert.match(upstream, /^GET \/\/evil\.example:99999\/x HTTP\/1\.1\r\nHost: a\r\n/),
    ],
    [
      'Upgrade to h2c goes nowhere, and takes its settings with it',
      withHost(
        'GET /',
        'Connection: Upgrade, HTTP2-Settings',
        'Upgrade: h2c',
        'HTTP2-Settings: AAMA',
      ),
      (upstream) => assert.doesNotMatch(upstream, /h2c|http2-settings/i),
    ],
    [
      'two authorizations go on as two',
      withHost('GET /', 'Authorization: a', 'Authorization: b'),
      (upstream) => assert.match(upstream, /Authorization: a\r\nAuthorization: b\r\n/),
    ],
    [
      'trailers never become fields, whatever they are called',
      withHost('POST /', 'Trailer: X-Azimuth-Peer, X-Sum', 'Transfer-Encoding: chunked') +
        '1\r\na\r\n0\r\nX-Azimuth-Peer: evil\r\nX-Sum: 1\r\n\r\n',
      (upstream) => {
        const [head, rest] = upstream.split(/\r\n\r\n(.*)/s);
        assert.doesNotMatch(head!, /evil|x-sum: 1/i);
        assert.match(rest!, /^1\r\na\r\n0\r\nX-Sum: 1\r\n\r\n/);
      },
    ],
    [
      "a traceparent said twice is nobody's",
      withHost(
        'GET /',
        `traceparent: 00-${'1'.repeat(32)}-${'1'.repeat(16)}-01`,
        `traceparent: 00-${'2'.repeat(32)}-${'2'.repeat(16)}-01`,
        'tracestate: a=b',
      ),
      (upstream) => {
        const [first] = upstream.split('\r\n\r\n');
        assert.equal(first!.match(/traceparent/gi)!.length, 1);
        assert.doesNotMatch(first!, /1{32}|2{32}|tracestate/);
      },
      { side: 'inbound' },
    ],
    [
      "a traceparent of 8,000 bytes is nobody's",
      withHost('GET /', `traceparent: 00-${'1'.repeat(8_000)}`),
      (upstream) => {
        const [first] = upstream.split('\r\n\r\n');
        assert.match(first!, /traceparent: 00-[0-9a-f]{32}-[0-9a-f]{16}-0[0-3](\r|$)/);
        assert.doesNotMatch(first!, /1{32}/);
      },
      { side: 'inbound' },
    ],
    [
      'the random flag of trace context goes on as it came',
      withHost('GET /', `traceparent: 00-${'1'.repeat(32)}-${'1'.repeat(16)}-02`),
      (upstream) => assert.match(upstream, /traceparent: 00-1{32}-[0-9a-f]{16}-02\r\n/),
      { side: 'inbound' },
    ],
  ];
  for (const [name, bytes, check, settings] of carried) {
    it(name, async () => {
      const { upstream } = await carry(bytes, settings);
      check(upstream);
    });
  }

  const nonsense: readonly [string, string][] = [
    ['status 000', 'HTTP/1.1 000 OK\r\nContent-Length: 0\r\n\r\n'],
    ['status 099', 'HTTP/1.1 099 OK\r\nContent-Length: 0\r\n\r\n'],
    ['a control byte in the reason', 'HTTP/1.1 200 a\x01b\r\nContent-Length: 0\r\n\r\n'],
    [
      'a 101 that nobody asked for',
      'HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n',
    ],
    ['a second answer behind the first', OK + OK],
    ['content behind a 204', 'HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\nabcde'],
  ];
  for (const [name, answer] of nonsense) {
    it(`${name} from an upstream: 502, never an exit or a wait`, async () => {
      const { answers } = await carry('', { script: answering(answer) });
      assert.match(answers, /^HTTP\/1\.1 502 /);
    });
  }
});
