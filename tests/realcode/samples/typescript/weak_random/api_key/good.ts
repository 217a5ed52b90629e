import { randomInt } from 'node:crypto';

export function newApiKey(prefix: string): string {
  const chars = 'abcdefghijklmnopqrstuvwxyz0123456789';
  return prefix + Array.from({ length: 24 }, () => chars[randomInt(chars.length)]).join('');
}
