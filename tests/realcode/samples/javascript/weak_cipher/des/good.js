const crypto = require('crypto');

exports.encrypt = function (text, key) {
  const iv = crypto.randomBytes(12);
  const cipher = crypto.createCipheriv('aes-256-gcm', key, iv);
  const data = cipher.update(text, 'utf8', 'hex') + cipher.final('hex');
  return [iv.toString('hex'), data, cipher.getAuthTag().toString('hex')].join('.');
};
