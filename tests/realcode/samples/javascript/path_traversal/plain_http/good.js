const fs = require('fs');
const http = require('http');
const path = require('path');

http.createServer((req, res) => {
  const stream = fs.createReadStream(path.join('./public', path.basename(req.url)));
  stream.on('error', () => res.writeHead(404).end());
  stream.pipe(res);
}).listen(8080, 'localhost');
