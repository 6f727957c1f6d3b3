/**
 * npm http-proxy as its README shows it, with a keep-alive agent (its best configuration). It
 * records nothing. Arguments: port, upstream port.
 */
import http from 'node:http';
import type { AddressInfo } from 'node:net';
import httpProxy from 'http-proxy';

const [port = '0', upstream = '0'] = process.argv.slice(2);
const proxy = httpProxy.createProxyServer({
  target: `http://127.0.0.1:${upstream}`,
  agent: new http.Agent({ keepAlive: true, maxSockets: 256 }),
});
const server = http.createServer((request, response) => {
  proxy.web(request, response, {}, () => {
    response.statusCode = 502;
    response.end();
  });
});
server.listen(Number(port), '127.0.0.1', () => {
  console.log(JSON.stringify({ port: (server.address() as AddressInfo).port }));
});
