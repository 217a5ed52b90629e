const _ = require('lodash');

const build = _.template('Hello <%- name %>, about <%- subject %>');

exports.mail = function mail(subject, user) {
  return build({ name: user.name, subject });
};
