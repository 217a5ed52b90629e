const http = require('http');
const url = require('url');

http.createServer((req, res) => {
  const { host } = url.parse(req.url, true).query;
  http.get({ host, path: '/health' }, (answer) => answer.pipe(res));
}).listen(3000, '127.0.0.1');
