/** The application of the fault matrix: answers everything with `ok`, on $PORT of loopback. */
import { createServer } from 'node:http';

createServer((_req, res) => {
  res.setHeader('content-type', 'text/plain');
  res.end('ok');
}).listen(Number(process.env['PORT']), '127.0.0.1');
