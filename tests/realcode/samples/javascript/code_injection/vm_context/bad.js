const vm = require('node:vm');

function runRule(source, facts) {
  const sandbox = { facts, allowed: false };
  vm.createContext(sandbox);
  vm.runInContext(source, sandbox);
  return sandbox.allowed;
}

module.exports = runRule;
