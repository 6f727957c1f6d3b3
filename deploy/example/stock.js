// A service as anybody has one: knows nothing of a mesh. GET /stock/ITEM says how many there are.
import { createServer } from 'node:http';

createServer((req, res) => {
  const item = /^\/stock\/([a-z]+)$/.exec(req.url)?.[1];
  res.writeHead(item === undefined ? 404 : 200, { 'content-type': 'application/json' });
  res.end(JSON.stringify(item === undefined ? {} : { item, left: item.length }));
}).listen(Number(process.env.PORT), process.env.HOST);
