import pg from 'pg';

const client = new pg.Client();

export async function findUser(email) {
  const text = `SELECT id, name FROM users WHERE email = '${email}' LIMIT 1`;
  const result = await client.query(text);
  return result.rows[0];
}
