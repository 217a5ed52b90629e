const fs = require('fs');

function save(report) {
  fs.writeFileSync('/tmp/report.json', JSON.stringify(report));
}

module.exports = save;
