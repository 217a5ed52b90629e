import cp from 'child_process';

export function commits(author) {
  return cp.execFileSync('git', ['log', `--author=${author}`, '--oneline']).toString().split('\n');
}
