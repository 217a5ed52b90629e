const errorhandler = require('errorhandler');
const express = require('express');

const app = express();
app.get('/', (req, res) => res.json({ ok: true }));
if (process.env.NODE_ENV === 'development') {
  app.use(errorhandler());
}
app.listen(3000, 'localhost');
