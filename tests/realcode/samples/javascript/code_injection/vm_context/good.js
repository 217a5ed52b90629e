const RULES = {
  adult: (facts) => facts.age >= 18,
  member: (facts) => facts.groups.includes('member'),
};

function runRule(name, facts) {
  const rule = RULES[name];
  if (!rule) throw new Error(`no rule ${name}`);
  return rule(facts);
}

module.exports = runRule;
