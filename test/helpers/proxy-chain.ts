/**
 * An application behind a sidecar behind a gateway, all over loopback: for tests of what two proxies
 * in a row do to a message. Both proxies are labs, so their records can be read.
 */
import { once } from 'node:events';
import type { Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { ProxyLab } from './proxy-lab.ts';

export interface ProxyChain {
  readonly gateway: ProxyLab;
  readonly sidecar: ProxyLab;
  /** Base URL of the gateway, without scheme: `127.0.0.1:port`. */
  readonly authority: string;
  stop(): Promise<void>;
}

/** Starts `application` and the proxies in front of it. WebSocket is allowed on `/chat`. */
export async function startProxyChain(application: Server): Promise<ProxyChain> {
  application.listen(0, '127.0.0.1');
  await once(application, 'listening');
  const endpoint = (port: number) => [{ host: '127.0.0.1', port }];
  const routes = [{ path: '/chat', upgrades: ['websocket'] }, { path: '/*' }];
  const { port } = application.address() as AddressInfo;
  const sidecar = await new ProxyLab({
    side: 'inbound',
    meshOnly: true,
    meshed: false,
    routes,
    endpoints: endpoint(port),
  }).start();
  const gateway = await new ProxyLab({ routes, endpoints: endpoint(sidecar.port) }).start();
  return {
    gateway,
    sidecar,
    authority: `127.0.0.1:${gateway.port}`,
    stop: async () => {
      await gateway.stop();
      await sidecar.stop();
      application.closeAllConnections();
      application.close();
    },
  };
}
