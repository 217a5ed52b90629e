import { createCipheriv } from 'crypto';

export function seal(key, text) {
  const cipher = createCipheriv('aes-128-ecb', key, null);
  return Buffer.concat([cipher.update(text), cipher.final()]);
}
