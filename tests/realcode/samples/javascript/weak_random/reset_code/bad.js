class Recovery {
  start(account, mailer) {
    account.resetCode = Math.floor(100000 + Math.random() * 900000);
    mailer.send(account.email, `Your code: ${account.resetCode}`);
  }
}

module.exports = Recovery;
