const User = require('../models/user');

exports.login = async (req, res) => {
  const email = String(req.body.email);
  const user = await User.findOne({ email });
  res.json({ ok: !!user });
};
