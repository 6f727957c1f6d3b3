/**
 * The application behind the proxy under test: answers every request at once with 317 bytes.
 * On node:net, so that it costs little beside the proxy. Arguments: port.
 */
import net from 'node:net';

const BODY = 'x'.repeat(220);
const ANSWER = Buffer.from(
  `HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: ${BODY.length}\r\nServer: bench\r\n\r\n${BODY}`,
  'latin1',
);
const END = Buffer.from('\r\n\r\n');

const server = net.createServer({ noDelay: true }, (socket) => {
  let tail = Buffer.alloc(0);
  socket.on('data', (data) => {
    let buffer: Buffer = tail.length === 0 ? data : Buffer.concat([tail, data]);
    for (let at = buffer.indexOf(END); at >= 0; at = buffer.indexOf(END)) {
      socket.write(ANSWER);
      buffer = buffer.subarray(at + 4);
    }
    tail = Buffer.from(buffer);
  });
  socket.on('error', () => socket.destroy());
});
server.listen(Number(process.argv[2] ?? 0), '127.0.0.1', () => {
  console.log(JSON.stringify({ port: (server.address() as net.AddressInfo).port }));
});
