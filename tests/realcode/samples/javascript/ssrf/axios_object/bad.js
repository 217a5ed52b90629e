const axios = require('axios');
const { request } = require('undici');

exports.preview = async (req, res) => {
  const { url, method } = req.body;
  const reply = await axios({ method: 'get', url: url, timeout: 1000 });
  res.json({ length: reply.data.length });
};

exports.check = async (request_, reply) => {
  const puppeteer = require('puppeteer');
  const page = await (await puppeteer.launch()).newPage();
  await page.goto(request_.query.target);
};
