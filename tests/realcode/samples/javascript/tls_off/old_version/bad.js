const tls = require('tls');

module.exports = (key, cert) =>
  tls.createServer({ key, cert, secureProtocol: 'TLSv1_method' }, (socket) => socket.end('hi'));
