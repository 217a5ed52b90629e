const fs = require('fs');
const yaml = require('js-yaml');

function readConfig(file) {
  const text = fs.readFileSync(file, 'utf8');
  return yaml.load(text, { schema: yaml.DEFAULT_FULL_SCHEMA });
}

module.exports = readConfig;
