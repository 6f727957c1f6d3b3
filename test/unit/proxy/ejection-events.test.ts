import assert from 'node:assert/strict';
import type { Log, LogFields } from '../../../runtime/log.ts';
import { FakeUpstream, get, OK, ProxyLab, type Script } from '../../helpers/proxy-lab.ts';

interface Line {
  readonly level: string;
  readonly message: string;
  readonly fields: LogFields;
}

/** A log that keeps its lines. */
function keptLog(lines: Line[], base: LogFields = {}): Log {
  const at =
    (level: string) =>
    (message: string, fields: LogFields = {}): void =>
      void lines.push({ level, message, fields: { ...base, ...fields } });
  return {
    debug: at('debug'),
    info: at('info'),
    warn: at('warn'),
    error: at('error'),
    with: (fields) => keptLog(lines, { ...base, ...fields }),
  };
}

interface EndpointJson {
  readonly port: number;
  readonly state: string;
  readonly ejections: number;
  readonly last_ejection?: { at: string; reason: string; failures: number; for_ms: number };
}

describe('An endpoint that is ejected', () => {
  it('stands in the log with the reason, as its return does, and in /clusters and /metrics', async () => {
    const lines: Line[] = [];
    let isWell = false;
    const answered = new WeakMap<object, number>();
    const script: Script = (peer) => {
      const heads = peer.received.split('\r\n\r\n').length - 1;
      if (heads === (answered.get(peer) ?? 0)) return;
      answered.set(peer, heads);
      if (isWell) peer.send(OK);
      else peer.socket.resetAndDestroy();
    };
    const failing = await new FakeUpstream(script).start();
    const well = await new FakeUpstream((peer) => {
      const heads = peer.received.split('\r\n\r\n').length - 1;
      for (let done = answered.get(peer) ?? 0; done < heads; done++) peer.send(OK);
      answered.set(peer, heads);
    }).start();
    const lab = await new ProxyLab({
      log: keptLog(lines),
      endpoints: [well.port, failing.port].map((port) => ({ host: '127.0.0.1', port })),
    }).start();
    try {
      const admin = `http://127.0.0.1:${lab.proxy.adminPort()}`;
      const endpoint = async (): Promise<EndpointJson> => {
        const { workers } = (await (await fetch(`${admin}/clusters`)).json()) as {
          workers: [{ clusters: [{ endpoints: EndpointJson[] }] }];
        };
        return workers[0].clusters[0].endpoints.find(({ port }) => port === failing.port)!;
      };
      const untilSaid = async (message: string): Promise<Line> => {
        // Each turn of it is one request; a suspect gets one each 100 ms, and an ejected one when its time is up.
        for (let i = 0; i < 100; i++) {
          const said = lines.find((line) => line.message === message);
          if (said !== undefined) return said;
          const client = await lab.connect();
          await client.send(get('/')).until('HTTP/1.1 ');
          client.socket.destroy();
          lab.elapse(200);
        }
        throw new Error(`never said: ${JSON.stringify(lines)}`);
      };
      assert.equal((await endpoint()).last_ejection, undefined);
      const ejected = await untilSaid('endpoint ejected');
      const { for_ms: forMs, ...fields } = ejected.fields;
      assert.deepEqual(
        [ejected.level, fields],
        [
          'warn',
          {
            proxy: 'proxy-under-test',
            listener: 'main',
            cluster: 'catalog',
            endpoint: `127.0.0.1:${failing.port}`,
            reason: 'upstream_reset',
            failures: 5,
            times_in_row: 1,
          },
        ],
      );
      assert.ok(Number(forMs) >= 500 && Number(forMs) <= 1_000, String(forMs));
      const shown = await endpoint();
      assert.deepEqual([shown.state, shown.ejections], ['ejected', 1]);
      const { at, ...last } = shown.last_ejection!;
      assert.deepEqual(last, { reason: 'upstream_reset', failures: 5, for_ms: forMs });
      assert.ok(!Number.isNaN(Date.parse(at)));
      const metrics = await (await fetch(`${admin}/metrics`)).text();
      const valueOf = (name: string): string | undefined =>
        new RegExp(`^${name}\\{[^}]*server_port="${failing.port}"[^}]*\\} (.*)$`, 'm').exec(
          metrics,
        )?.[1];
      assert.equal(valueOf('azimuth_upstream_ejections_total'), '1');
      assert.equal(valueOf('azimuth_upstream_endpoint_up'), '0');

      isWell = true;
      const back = await untilSaid('endpoint back');
      assert.deepEqual(
        [back.level, back.fields],
        [
          'info',
          {
            proxy: 'proxy-under-test',
            listener: 'main',
            cluster: 'catalog',
            endpoint: `127.0.0.1:${failing.port}`,
            reason: 'it answered',
          },
        ],
      );
      const after = await endpoint();
      assert.deepEqual(
        [after.state, after.ejections, after.last_ejection?.reason],
        ['up', 1, 'upstream_reset'],
      );
    } finally {
      await lab.stop();
      failing.stop();
      well.stop();
    }
  });
});
