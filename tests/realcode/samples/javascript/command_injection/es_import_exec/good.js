import { execFile } from 'node:child_process';
import express from 'express';

const app = express();

app.get('/lookup', (req, res) => {
  execFile('nslookup', ['--', String(req.query.domain)], (error, stdout) => {
    res.type('text').send(stdout);
  });
});
