import * as jose from 'jose';

export async function session(cookie: string): Promise<string | undefined> {
  const { payload } = jose.UnsecuredJWT.decode(cookie);
  return payload.sub;
}
