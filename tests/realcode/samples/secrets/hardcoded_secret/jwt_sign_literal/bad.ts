import * as jwt from 'jsonwebtoken';

export function issue(userId: string): string {
  return jwt.sign({ sub: userId }, '{{random_text}}', { expiresIn: '1h' });
}
