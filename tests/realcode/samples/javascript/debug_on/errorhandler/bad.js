const errorhandler = require('errorhandler');
const express = require('express');

const app = express();
app.get('/', (req, res) => res.json({ ok: true }));
app.use(errorhandler());
app.listen(3000, 'localhost');
