import { mkdtemp, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export async function spool(data) {
  const file = join(await mkdtemp(join(tmpdir(), 'spool-')), 'data.bin');
  await writeFile(file, data);
  return file;
}
