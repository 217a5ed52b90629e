const util = require('util');
const run = util.promisify(require('child_process').execFile);

async function resize(file, width) {
  const { stdout } = await run('convert', [file, '-resize', String(width), 'out.png']);
  return stdout;
}

module.exports = { resize };
