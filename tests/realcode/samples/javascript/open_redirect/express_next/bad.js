const express = require('express');

const app = express();

app.post('/login', (req, res) => {
  const next = req.query.next || '/';
  req.session.user = req.body.user;
  res.redirect(302, next);
});
