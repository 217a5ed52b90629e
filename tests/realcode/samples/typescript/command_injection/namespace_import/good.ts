import * as cp from 'node:child_process';
import { promisify } from 'node:util';

const execFileAsync = promisify(cp.execFile);

export async function cloneRepository(url: string, folder: string): Promise<void> {
  await execFileAsync('git', ['clone', '--', url, folder]);
}
