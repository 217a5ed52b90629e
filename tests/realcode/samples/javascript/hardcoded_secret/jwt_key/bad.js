const jwt = require('jsonwebtoken');

const JWT_SECRET = '{{random_text}}';

module.exports = (user) => jwt.sign({ sub: user.id }, JWT_SECRET, { algorithm: 'HS256' });
