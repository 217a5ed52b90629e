const store = {};

exports.put = (req, res) => {
  const { section, key, value } = req.body;
  store[section][key] = value;
  res.sendStatus(204);
};
