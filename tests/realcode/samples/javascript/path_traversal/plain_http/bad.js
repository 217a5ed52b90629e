const fs = require('fs');
const http = require('http');

http.createServer((req, res) => {
  const stream = fs.createReadStream('./public' + req.url);
  stream.on('error', () => res.writeHead(404).end());
  stream.pipe(res);
}).listen(8080, 'localhost');
