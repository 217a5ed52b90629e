const _ = require('lodash');

exports.mail = function mail(subject, user) {
  const build = _.template('Hello <%= name %>, about ' + subject);
  return build({ name: user.name });
};
