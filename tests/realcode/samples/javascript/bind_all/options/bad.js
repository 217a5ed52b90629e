import Fastify from 'fastify';

const server = Fastify({ logger: true });
await server.listen({ port: 3000, host: '0.0.0.0' });
