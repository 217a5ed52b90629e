const axios = require('axios');

exports.preview = async (req, res) => {
  const reply = await axios({ method: 'get', url: 'https://api.example.org/preview', params: { q: req.body.q } });
  res.json({ length: reply.data.length });
};
