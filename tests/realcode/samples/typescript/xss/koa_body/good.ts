import Koa from 'koa';
import { encode } from 'html-entities';

const app = new Koa();

app.use(async (ctx) => {
  const name = String(ctx.query.name ?? 'you');
  ctx.type = 'html';
  ctx.body = `<!doctype html><h1>Hello ${encode(name)}</h1>`;
});
