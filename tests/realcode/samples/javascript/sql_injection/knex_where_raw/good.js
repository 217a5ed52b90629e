const fastify = require('fastify')();
const knex = require('knex')({ client: 'pg' });

fastify.get('/users', async (request, reply) => {
  const users = await knex('users').whereRaw('name = ?', [request.query.name]);
  return users;
});

fastify.listen({ port: 3000 });
