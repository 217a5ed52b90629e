import * as jose from 'jose';

const key = new TextEncoder().encode(process.env.SESSION_KEY);

export async function session(cookie: string): Promise<string | undefined> {
  const { payload } = await jose.jwtVerify(cookie, key, { algorithms: ['HS256'] });
  return payload.sub;
}
