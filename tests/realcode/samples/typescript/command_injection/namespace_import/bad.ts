import * as cp from 'node:child_process';
import { promisify } from 'node:util';

const execAsync = promisify(cp.exec);

export async function cloneRepository(url: string, folder: string): Promise<void> {
  await execAsync(`git clone ${url} ${folder}`);
}
