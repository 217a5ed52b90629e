import crypto from 'node:crypto';

crypto.generateKeyPair('ec', { namedCurve: 'secp112r1' }, (error, publicKey) => {
  if (error) throw error;
  console.log(publicKey.export({ type: 'spki', format: 'pem' }));
});
