const { randomBytes } = require('crypto');

function createToken() {
  return randomBytes(32).toString('base64url');
}

module.exports = createToken;
