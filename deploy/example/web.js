// A service as anybody has one: GET /ITEM asks the service behind STOCK_URL and answers in a sentence.
import { createServer, get } from 'node:http';

createServer((req, res) => {
  // Trace headers that came in go out again, so that both calls are one trace.
  const { traceparent, tracestate } = req.headers;
  const headers = { ...(traceparent && { traceparent }), ...(tracestate && { tracestate }) };
  get(`${process.env.STOCK_URL}/stock${req.url}`, { headers }, (answer) => {
    let text = '';
    answer.setEncoding('utf8').on('data', (piece) => (text += piece));
    answer.on('end', () => {
      res.statusCode = answer.statusCode;
      res.end(answer.statusCode === 200 ? `${JSON.parse(text).left} left\n` : 'no such thing\n');
    });
  }).on('error', (error) => {
    res.statusCode = 502;
    res.end(`${error.message}\n`);
  });
}).listen(Number(process.env.PORT), process.env.HOST);
