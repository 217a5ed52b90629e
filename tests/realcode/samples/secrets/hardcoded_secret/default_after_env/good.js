const apiKey = process.env.API_KEY || '';

module.exports = { apiKey, port: process.env.PORT || '3000' };
