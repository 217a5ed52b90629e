const express = require('express');
const { create, all } = require('mathjs');

const math = create(all);
const limited = math.parser();
const app = express();
app.use(express.json());

app.post('/sum', (req, res) => {
  const result = Number(req.body.left) + Number(req.body.right);
  res.json({ result });
});
