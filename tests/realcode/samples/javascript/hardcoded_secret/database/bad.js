import mysql from 'mysql2/promise';

export const pool = mysql.createPool({
  host: 'db.internal',
  user: 'shop',
  password: '{{password}}',
});
