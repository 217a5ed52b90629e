const ejs = require('ejs');
const express = require('express');

const app = express();

app.get('/welcome', (req, res) => {
  const page = '<h1>Welcome, ' + req.query.name + '</h1><p><%= new Date() %></p>';
  res.send(ejs.render(page));
});
