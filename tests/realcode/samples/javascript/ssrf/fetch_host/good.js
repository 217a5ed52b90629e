import express from 'express';

const app = express();
const SERVICES = { billing: 'http://billing.internal', mail: 'http://mail.internal' };

app.post('/webhook/test', express.json(), async (req, res) => {
  const base = SERVICES[req.body.service];
  if (!base) return res.sendStatus(404);
  const answer = await fetch(`${base}/status`);
  res.send({ status: answer.status });
});
