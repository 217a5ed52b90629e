import express from 'express';

const app = express();

app.post('/webhook/test', express.json(), async (req, res) => {
  const { host } = req.body;
  const answer = await fetch(`http://${host}/status`);
  res.send({ status: answer.status });
});
