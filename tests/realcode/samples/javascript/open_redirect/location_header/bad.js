import http from 'node:http';

http.createServer((req, res) => {
  const query = new URL(req.url, 'http://localhost').searchParams;
  res.writeHead(301, { Location: query.get('to') });
  res.end();
}).listen(8080, '127.0.0.1');
