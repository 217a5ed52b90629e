const knex = require('knex')({ client: 'pg' });

module.exports = async function report(ctx) {
  const { from, to } = ctx.query;
  ctx.body = await knex('orders').whereRaw(`created BETWEEN '${from}' AND '${to}'`);
};
