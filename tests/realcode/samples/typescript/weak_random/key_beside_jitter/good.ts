import { randomBytes } from 'crypto';

export class TokenService {
  createApiKey(): string {
    return randomBytes(24).toString('base64url');
  }

  jitter(ms: number): number {
    return ms + Math.random() * 100;
  }
}
