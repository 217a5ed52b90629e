const fs = require('fs');
const https = require('https');
const fetch = require('node-fetch');

const agent = new https.Agent({ ca: fs.readFileSync('company.pem') });

module.exports = (path) => fetch(`https://api.example.com${path}`, { agent });
