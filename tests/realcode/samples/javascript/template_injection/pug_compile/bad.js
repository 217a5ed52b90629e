import pug from 'pug';

export async function preview(ctx) {
  const template = pug.compile(ctx.request.body.source);
  ctx.body = template({ user: ctx.state.user });
}
