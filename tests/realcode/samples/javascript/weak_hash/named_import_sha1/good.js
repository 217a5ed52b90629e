import { createHmac } from 'node:crypto';

const ALGORITHM = 'SHA256';

export const sign = (text, key) => createHmac(ALGORITHM, key).update(text).digest('base64');
