/**
 * An application of the soak, on $PORT of loopback. With $NEXT_PORT it asks the workload `back` by
 * way of that outbound listener before it answers, and hands the trace on as it came.
 */
import { Agent, createServer, get } from 'node:http';

const agent = new Agent({ keepAlive: true });
const next = process.env['NEXT_PORT'];

createServer((req, res) => {
  if (next === undefined) {
    res.end('ok');
    return;
  }
  const { traceparent } = req.headers;
  const headers = { host: 'back', ...(traceparent === undefined ? {} : { traceparent }) };
  const asked = get({ agent, host: '127.0.0.1', port: next, path: req.url, headers }, (answer) => {
    answer
      .on('end', () => res.writeHead(answer.statusCode ?? 502, { 'content-length': 2 }).end('ok'))
      .resume();
  });
  asked.on('error', () => res.writeHead(502).end());
}).listen(Number(process.env['PORT']), '127.0.0.1');
