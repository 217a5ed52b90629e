import pug from 'pug';

const template = pug.compileFile('views/preview.pug');

export async function preview(ctx) {
  ctx.body = template({ user: ctx.state.user, text: ctx.request.body.source });
}
