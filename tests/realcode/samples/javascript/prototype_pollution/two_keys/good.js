const store = new Map();

exports.put = (req, res) => {
  const { section, key, value } = req.body;
  if (!store.has(section)) store.set(section, new Map());
  store.get(section).set(key, value);
  res.sendStatus(204);
};
