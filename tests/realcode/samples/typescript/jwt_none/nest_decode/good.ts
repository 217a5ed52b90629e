import { JwtService } from '@nestjs/jwt';

export class AuthGuard {
  constructor(private readonly jwt: JwtService) {}

  async canActivate(token: string): Promise<boolean> {
    const payload = await this.jwt.verifyAsync<{ role: string }>(token);
    return payload.role === 'admin';
  }
}
