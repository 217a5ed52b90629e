const { spawn } = require('node:child_process');

const folder = process.argv[2];
const child = spawn(`du -sh ${folder}`, { shell: true, stdio: 'inherit' });
child.on('exit', (code) => process.exit(code));
