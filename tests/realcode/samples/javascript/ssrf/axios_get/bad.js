const axios = require('axios');

exports.preview = async (req, res) => {
  const answer = await axios.get(req.query.url, { timeout: 3000 });
  res.json({ length: answer.data.length });
};
