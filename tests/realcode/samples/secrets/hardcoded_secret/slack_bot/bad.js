const { WebClient } = require('@slack/web-api');

const slack = new WebClient('{{slack_bot}}');

module.exports = slack;
