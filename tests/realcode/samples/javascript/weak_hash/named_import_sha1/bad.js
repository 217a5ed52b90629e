import { createHash } from 'node:crypto';

const ALGORITHM = 'SHA1';

export const sign = (text, key) => createHash(ALGORITHM).update(key + text).digest('base64');
