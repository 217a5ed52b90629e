const apiKey = process.env.API_KEY || '{{random_hex}}';

module.exports = { apiKey, port: process.env.PORT || '3000' };
