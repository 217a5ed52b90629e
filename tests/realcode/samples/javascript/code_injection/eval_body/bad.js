const express = require('express');

const app = express();
app.use(express.json());

app.post('/sum', (req, res) => {
  const result = eval(req.body.formula);
  res.json({ result });
});
