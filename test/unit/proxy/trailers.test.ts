import assert from 'node:assert/strict';
import { answering, get, OK, type Script, withLab } from '../../helpers/proxy-lab.ts';

const whenComplete =
  (answer: string): Script =>
  (peer) => {
    if (peer.received.endsWith('\r\n\r\n') && /\r\n0\r\n/.test(peer.received)) peer.send(answer);
  };
const chunkedRequest = (fields: readonly string[], trailers: readonly string[]): string =>
  ['POST / HTTP/1.1', 'Host: a', 'Transfer-Encoding: chunked', ...fields, '', '3', 'abc', '0'].join(
    '\r\n',
  ) + ['', ...trailers, '', ''].join('\r\n');
const chunkedAnswer = (fields: readonly string[], trailers: readonly string[]): string =>
  chunkedRequest(fields, trailers).replace('POST / HTTP/1.1\r\nHost: a', 'HTTP/1.1 200 OK');

describe('Trailers', () => {
  it('pass when they were announced, behind the last chunk, both ways', () =>
    withLab(
      {
        script: whenComplete(
          chunkedAnswer(['Trailer: Grpc-Status, x-sum'], ['grpc-status: 0', 'X-Sum:  9 ']),
        ),
      },
      async (lab) => {
        const answer = await lab.exchange(
          chunkedRequest(['Trailer: x-sum'], ['X-Sum: 1', 'x-sum: 2']),
          'X-Sum: 9\r\n\r\n',
        );
        const sent = lab.upstream.peers[0]!.received;
        assert.match(sent, /\r\ntrailer: x-sum\r\n/);
        assert.ok(sent.endsWith('3\r\nabc\r\n0\r\nX-Sum: 1\r\nx-sum: 2\r\n\r\n'), sent);
        assert.equal(
          answer,
          'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntrailer: grpc-status, x-sum\r\n\r\n' +
            '3\r\nabc\r\n0\r\ngrpc-status: 0\r\nX-Sum: 9\r\n\r\n',
        );
        assert.deepEqual(
          [(await lab.hop()).hop.bytesIn, (await lab.hop()).hop.bytesOut],
          [chunkedRequest(['Trailer: x-sum'], ['X-Sum: 1', 'x-sum: 2']).length, answer.length],
        );
      },
    ));

  it('pass one byte at a time', () =>
    withLab({ script: whenComplete(chunkedAnswer(['Trailer: a'], ['a: 1'])) }, async (lab) => {
      const client = await lab.connect();
      await client.drip(chunkedRequest(['Trailer: b'], ['b: 2']));
      await client.until('0\r\na: 1\r\n\r\n');
      assert.ok(lab.upstream.peers[0]!.received.endsWith('0\r\nb: 2\r\n\r\n'));
    }));

  const dropped: readonly [string, string[], string[]][] = [
    ['that nobody announced', ['Trailer: x-other'], ['x-sum: 1']],
    ['that the mesh says', ['Trailer: azimuth-peer'], ['azimuth-peer: workload;payments']],
    ['about who called', ['Trailer: x-forwarded-for'], ['X-Forwarded-For: 10.0.0.1']],
    ['about traces', ['Trailer: traceparent'], ['traceparent: 00-0-0-00']],
    ['of authentication', ['Trailer: authorization'], ['Authorization: Basic x']],
    ['of cookies', ['Trailer: set-cookie'], ['Set-Cookie: a=b']],
    ['of routing', ['Trailer: host'], ['Host: evil.example']],
    ['of connections', ['Trailer: connection'], ['Connection: close']],
    ['that Connection nominated', ['Trailer: x-sum', 'Connection: x-sum'], ['x-sum: 1']],
    ['whose announcement is no name', ['Trailer: "x-sum"'], ['x-sum: 1']],
  ];
  for (const [name, fields, trailers] of dropped) {
    it(`are dropped, ${name}, and never become fields of the header`, () =>
      withLab({ script: whenComplete(OK) }, async (lab) => {
        await lab.exchange(chunkedRequest(fields, trailers), 'ok');
        const sent = lab.upstream.peers[0]!.received;
        assert.ok(sent.endsWith('3\r\nabc\r\n0\r\n\r\n'), sent);
        const [field, value] = trailers[0]!.split(': ');
        assert.ok(!sent.includes(`${field}: ${value}`), sent);
      }));
  }

  it('with an underscore end at the gateway, and pass inside the mesh', async () => {
    for (const side of ['ingress', 'inbound'] as const) {
      await withLab({ side, script: whenComplete(OK) }, async (lab) => {
        await lab.exchange(chunkedRequest(['Trailer: x_sum'], ['x_sum: 1']), 'ok');
        const passes = lab.upstream.peers[0]!.received.endsWith('0\r\nx_sum: 1\r\n\r\n');
        assert.equal(passes, side === 'inbound');
      });
    }
  });

  for (const framing of ['Content-Length: 9', 'Transfer-Encoding: chunked']) {
    it(`with ${framing} make a request malformed`, () =>
      withLab({ script: () => undefined }, async (lab) => {
        const client = await lab.connect();
        await client.send(chunkedRequest([], [framing])).until('400 Bad Request');
        await lab.upstream.peers[0]?.untilClosed();
        assert.deepEqual((await lab.hop()).flags, ['DPE']);
      }));
  }

  it('are not sent to HTTP/1.0 clients, whose body ends with the connection', () =>
    withLab({ script: answering(chunkedAnswer(['Trailer: a'], ['a: 1'])) }, async (lab) => {
      const client = await lab.connect();
      client.send(get('/').replace('HTTP/1.1', 'HTTP/1.0'));
      await client.untilClosed();
      assert.equal(client.received, 'HTTP/1.1 200 OK\r\nconnection: close\r\n\r\nabc');
    }));

  it('are asked for where the client asks for them and nominates it', () =>
    withLab({}, async (lab) => {
      await lab.exchange(get('/', 'TE: gzip, trailers;q=1', 'Connection: TE'), 'ok');
      await lab.exchange(get('/', 'TE: trailers'), 'ok');
      const sent = lab.upstream.peers.map((peer) => peer.received).join('');
      assert.equal(sent.match(/\r\nte: trailers\r\nconnection: te\r\n/g)?.length, 1, sent);
      assert.doesNotMatch(sent, /gzip|TE:/);
    }));
});
