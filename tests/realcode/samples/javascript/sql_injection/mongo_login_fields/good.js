const express = require('express');
const router = express.Router();
const argon2 = require('argon2');

router.post('/login', async (req, res) => {
  const db = req.app.locals.db;
  const user = await db.collection('users').findOne({ username: String(req.body.username) });
  const ok = user && (await argon2.verify(user.passwordHash, String(req.body.password)));
  res.json({ ok: Boolean(ok) });
});

module.exports = router;
