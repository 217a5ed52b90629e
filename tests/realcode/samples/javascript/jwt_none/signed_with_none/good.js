import jwt from 'jsonwebtoken';

export function issue(user) {
  return jwt.sign({ sub: user.id, role: user.role }, process.env.JWT_KEY, { algorithm: 'HS256', expiresIn: '1h' });
}
