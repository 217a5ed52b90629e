import * as crypto from 'crypto';

export class TokenService {
  digest(token: string): string {
    const hash: crypto.Hash = crypto.createHash('sha1');
    return hash.update(token).digest('hex');
  }
}
