/** CORS through a real proxy: what pages of which origins are told, by whom, and how it is recorded. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { FUNCTIONS } from '../../../../telemetry/hop-record.ts';
import { functionsOf } from '../../../helpers/functions.ts';
import { answering, get, withLab, type RecordedHop } from '../../../helpers/proxy-lab.ts';

const sha256 = (key: string): string => createHash('sha256').update(key).digest('hex');
const KEYS = { keys: [{ consumer: 'mobile-app', sha256: sha256('secret-1') }] };

/** Functions whose bit is set, and those whose time was booked, beyond what every request has. */
const CORE = ['route', 'trace_context', 'hygiene'];
const performed = ({ hop }: RecordedHop): string[] =>
  FUNCTIONS.filter((name, bit) => (hop.functions >> bit) & 1 && !CORE.includes(name));
const timed = ({ hop }: RecordedHop): string[] =>
  hop.phaseIds.map((id) => FUNCTIONS[id]!).filter((name) => !CORE.includes(name));

describe('cors', () => {
  const functions = functionsOf({
    cors: {
      origins: ['https://shop.example'],
      headers: ['x-cart'],
      expose: ['x-total'],
      credentials: true,
    },
    api_keys: KEYS,
  });
  const routes = [{ path: '/a', methods: ['GET', 'PUT'], functions }, { path: '/*' }];
  const preflight = (path: string, origin: string, method = 'PUT'): string =>
    get(path, `Origin: ${origin}`, `Access-Control-Request-Method: ${method}`).replace(
      'GET',
      'OPTIONS',
    );

  it('answers a preflight before any key is asked for, and records it without a flag', () =>
    withLab({ routes }, async (lab) => {
      const answer = await lab.exchange(preflight('/a', 'https://shop.example'), '\r\n\r\n');
      assert.deepEqual(answer.trimEnd().split('\r\n'), [
        'HTTP/1.1 204 No Content',
        'access-control-allow-origin: https://shop.example',
        'access-control-allow-credentials: true',
        'access-control-allow-methods: GET, PUT',
        'access-control-allow-headers: x-cart',
        'access-control-max-age: 600',
        'vary: origin, access-control-request-method, access-control-request-headers',
      ]);
      const hop = await lab.hop();
      assert.deepEqual([hop.status, hop.flags, hop.answeredBy], [204, [], 'proxy']);
      assert.equal(hop.span.name, 'OPTIONS /a');
      assert.deepEqual([performed(hop), timed(hop)], [['cors'], ['cors']]);
      assert.equal(lab.upstream.peers.length, 0);
    }));

  it('refuses the preflight of another origin, without naming one that is allowed', () =>
    withLab({ routes }, async (lab) => {
      for (const origin of [
        'https://evil.example',
        'https://shop.example.evil',
        'null',
        'http://shop.example',
      ]) {
        const answer = await lab.exchange(preflight('/a', origin), 'not allowed here');
        assert.match(answer, /^HTTP\/1.1 403 /);
        assert.doesNotMatch(answer, /access-control-allow/);
        assert.match(answer, /\r\nvary: origin, /);
      }
      const [hop] = await lab.hops(4);
      assert.deepEqual([hop!.flags, hop!.attribute('error.type')], [['UAEX'], 'cors_denied']);
    }));

  it('leaves OPTIONS that is no preflight to the routes', () =>
    withLab({ routes }, async (lab) => {
      await lab.exchange(get('/a').replace('GET', 'OPTIONS'), 'ok');
      await lab.exchange(preflight('/b', 'https://shop.example'), 'ok');
      await lab.exchange(preflight('/a', 'https://shop.example', 'DELETE'), 'ok');
      const hops = await lab.hops(3);
      assert.deepEqual(
        hops.map((hop) => hop.attribute('http.route')),
        ['/*', '/*', '/*'],
      );
    }));

  it('lets a page read its answers and refusals, and replaces what the application says', () =>
    withLab(
      {
        routes,
        script: answering(
          'HTTP/1.1 200 OK\r\nAccess-Control-Allow-Origin: *\r\nVary: accept-encoding\r\nContent-Length: 2\r\n\r\nok',
        ),
      },
      async (lab) => {
        const lines = (answer: string): string[] => answer.match(/^(access|vary).*/gim) ?? [];
        const carried = await lab.exchange(
          get('/a', 'Origin: https://shop.example', 'x-api-key: secret-1'),
          'ok',
        );
        assert.deepEqual(lines(carried), [
          'Vary: accept-encoding',
          'vary: origin',
          'access-control-allow-origin: https://shop.example',
          'access-control-allow-credentials: true',
          'access-control-expose-headers: x-total',
        ]);
        const refused = await lab.exchange(get('/a', 'Origin: https://shop.example'), 'not known');
        assert.match(refused, /^HTTP\/1.1 401 /);
        assert.ok(lines(refused).includes('access-control-allow-origin: https://shop.example'));
        const foreign = await lab.exchange(
          get('/a', 'Origin: https://evil.example', 'x-api-key: secret-1'),
          'ok',
        );
        assert.deepEqual(lines(foreign), ['Vary: accept-encoding', 'vary: origin']);
        const none = await lab.exchange(get('/a', 'x-api-key: secret-1'), 'ok');
        assert.deepEqual(lines(none), ['Vary: accept-encoding', 'vary: origin']);
      },
    ));

  it('says `*` and nothing of Vary where every origin may', () =>
    withLab({ functions: functionsOf({ cors: { origins: ['*'] } }) }, async (lab) => {
      const answer = await lab.exchange(get('/', 'Origin: https://any.example'), 'ok');
      assert.deepEqual(answer.match(/^(access|vary).*/gim), ['access-control-allow-origin: *']);
      const told = await lab.exchange(preflight('/', 'https://any.example'), '\r\n\r\n');
      assert.match(told, /allow-methods: GET, HEAD, POST, PUT, PATCH, DELETE\r\n/);
    }));
});
