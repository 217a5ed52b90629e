const { randomInt } = require('crypto');

class Recovery {
  start(account, mailer) {
    account.resetCode = randomInt(100000, 1000000);
    mailer.send(account.email, `Your code: ${account.resetCode}`);
  }
}

module.exports = Recovery;
