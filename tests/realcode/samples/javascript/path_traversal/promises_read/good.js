import { readFile } from 'node:fs/promises';
import path from 'node:path';
import Fastify from 'fastify';

const fastify = Fastify();
const ROOT = path.resolve('notes');

fastify.get('/note', async (request, reply) => {
  const file = path.resolve(ROOT, request.query.file);
  if (!file.startsWith(ROOT + path.sep)) {
    return reply.code(404).send();
  }
  return reply.type('text/plain').send(await readFile(file, 'utf8'));
});
