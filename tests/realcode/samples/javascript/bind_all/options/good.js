import Fastify from 'fastify';

const server = Fastify({ logger: true });
await server.listen({ port: 3000, host: process.env.HOST ?? 'localhost' });
