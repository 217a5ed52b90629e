import { exec } from 'node:child_process';
import express from 'express';

const app = express();

app.get('/lookup', (req, res) => {
  exec(`nslookup ${req.query.domain}`, (error, stdout) => {
    res.type('text').send(stdout);
  });
});
