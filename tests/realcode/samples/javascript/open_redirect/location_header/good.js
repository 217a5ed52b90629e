import http from 'node:http';

const TARGETS = new Map([['docs', 'https://docs.example.com'], ['blog', 'https://blog.example.com']]);

http.createServer((req, res) => {
  const query = new URL(req.url, 'http://localhost').searchParams;
  res.writeHead(301, { Location: TARGETS.get(query.get('to')) ?? '/' });
  res.end();
}).listen(8080, '127.0.0.1');
