const express = require('express');

const app = express();

app.post('/login', (req, res) => {
  const next = String(req.query.next || '/');
  req.session.user = req.body.user;
  const local = next.startsWith('/') && !next.startsWith('//') && !next.includes('\\');
  res.redirect(302, local ? next : '/');
});
