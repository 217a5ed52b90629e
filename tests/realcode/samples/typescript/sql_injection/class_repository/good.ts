import { Pool } from 'pg';

const ORDERS: Record<string, string> = { name: 'name', newest: 'created_at DESC' };

export class UserRepository {
  constructor(private readonly pool: Pool) {}

  async byName(name: string, order: string): Promise<unknown[]> {
    const sql = `SELECT * FROM users WHERE name = $1 ORDER BY ${ORDERS[order] ?? 'name'}`;
    const { rows } = await this.pool.query(sql, [name]);
    return rows;
  }
}
