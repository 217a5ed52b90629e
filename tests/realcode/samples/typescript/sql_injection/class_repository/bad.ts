import { Pool } from 'pg';

export class UserRepository {
  constructor(private readonly pool: Pool) {}

  async byName(name: string, order: string): Promise<unknown[]> {
    const sql = `SELECT * FROM users WHERE name = $1 ORDER BY ${order}`;
    const { rows } = await this.pool.query(sql, [name]);
    return rows;
  }
}
