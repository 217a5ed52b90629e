const twilio = require('twilio');

const client = twilio('{{twilio_account}}', '{{hex32}}');

module.exports = client;
