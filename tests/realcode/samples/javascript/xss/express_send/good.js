const escapeHtml = require('escape-html');
const express = require('express');

const app = express();

app.get('/search', (req, res) => {
  res.send('<p>Nothing found for ' + escapeHtml(req.query.q) + '</p>');
});
