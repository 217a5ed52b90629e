const serialize = require('node-serialize');

module.exports = function profile(req, res) {
  const text = Buffer.from(req.cookies.profile, 'base64').toString();
  res.json(serialize.unserialize(text));
};
