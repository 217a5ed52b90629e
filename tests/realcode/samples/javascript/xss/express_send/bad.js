const express = require('express');

const app = express();

app.get('/search', (req, res) => {
  res.send('<p>Nothing found for ' + req.query.q + '</p>');
});
