const jwt = require('jsonwebtoken');

const JWT_SECRET = process.env.JWT_SECRET;

module.exports = (user) => jwt.sign({ sub: user.id }, JWT_SECRET, { algorithm: 'HS256' });
