const jwt = require('jsonwebtoken');

module.exports = function user(req, res, next) {
  req.user = jwt.verify(req.headers.authorization, process.env.KEY, { algorithms: ['HS256', 'none'] });
  next();
};
