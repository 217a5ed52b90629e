import crypto from 'node:crypto';

crypto.generateKeyPair('ec', { namedCurve: 'prime256v1' }, (error, publicKey) => {
  if (error) throw error;
  console.log(publicKey.export({ type: 'spki', format: 'pem' }));
});
