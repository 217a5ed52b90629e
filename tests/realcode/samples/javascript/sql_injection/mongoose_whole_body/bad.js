const User = require('../models/user');

exports.login = async (req, res) => {
  const user = await User.findOne(req.body);
  const other = await User.find({ email: req.query.email });
  res.json({ ok: !!user, n: other.length });
};
