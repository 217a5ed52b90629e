module.exports = function profile(req, res) {
  const text = Buffer.from(req.cookies.profile, 'base64').toString();
  const { name, theme } = JSON.parse(text);
  res.json({ name: String(name), theme: String(theme) });
};
