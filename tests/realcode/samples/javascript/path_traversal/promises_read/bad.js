import { readFile } from 'node:fs/promises';
import path from 'node:path';
import Fastify from 'fastify';

const fastify = Fastify();
const ROOT = path.resolve('notes');

fastify.get('/note', async (request, reply) => {
  const file = path.join(ROOT, request.query.file);
  return reply.type('text/plain').send(await readFile(file, 'utf8'));
});
