const util = require('util');
const run = util.promisify(require('child_process').exec);

async function resize(file, width) {
  const { stdout } = await run('convert ' + file + ' -resize ' + width + ' out.png');
  return stdout;
}

module.exports = { resize };
