const { MongoClient } = require('mongodb');
const express = require('express');
const router = express.Router();

router.post('/login', async (req, res) => {
  const db = req.app.locals.db;
  const user = await db.collection('users').findOne({
    username: req.body.username,
    password: req.body.password
  });
  res.json({ ok: Boolean(user) });
});

module.exports = router;
