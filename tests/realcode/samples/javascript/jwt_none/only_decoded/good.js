const jwt = require('jsonwebtoken');

function authenticate(req, res, next) {
  const token = req.headers.authorization.split(' ')[1];
  try {
    req.user = jwt.verify(token, process.env.JWT_KEY, { algorithms: ['HS256'] }).sub;
  } catch {
    return res.sendStatus(401);
  }
  next();
}

module.exports = authenticate;
