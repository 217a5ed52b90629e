import Koa from 'koa';

const app = new Koa();

app.use(async (ctx) => {
  const name = ctx.query.name ?? 'you';
  ctx.type = 'html';
  ctx.body = `<!doctype html><h1>Hello ${name}</h1>`;
});
