const { generateKeyPairSync } = require('crypto');

const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 4096 });

module.exports = privateKey;
