const { generateKeyPairSync } = require('crypto');

const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 1024 });

module.exports = privateKey;
