const tls = require('tls');

module.exports = (key, cert) =>
  tls.createServer({ key, cert, minVersion: 'TLSv1.2' }, (socket) => socket.end('hi'));
