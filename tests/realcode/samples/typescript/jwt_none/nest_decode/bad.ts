import { Module } from '@nestjs/common';
import { JwtService } from '@nestjs/jwt';
import { jwtDecode } from 'jwt-decode';

export class AuthGuard {
  constructor(private readonly jwt: JwtService) {}

  canActivate(token: string): boolean {
    const payload = this.jwt.decode(token) as { role: string };
    return payload.role === 'admin';
  }
}
