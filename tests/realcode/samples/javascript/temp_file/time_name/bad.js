import { writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export async function spool(data) {
  const file = join(tmpdir(), `spool-${Date.now()}.bin`);
  await writeFile(file, data);
  return file;
}
