const http = require('http');
const url = require('url');

const KNOWN = ['10.0.0.5', '10.0.0.6'];

http.createServer((req, res) => {
  const { node } = url.parse(req.url, true).query;
  const host = KNOWN[Number(node)];
  http.get({ host, path: '/health' }, (answer) => answer.pipe(res));
}).listen(3000, '127.0.0.1');
