import Handlebars from 'handlebars';
import type { Request, Response } from 'express';

const render = Handlebars.compile('Dear {{name}}, {{text}}');

export function notice(req: Request, res: Response): void {
  res.type('text/plain').send(render({ name: req.body.name, text: req.body.text }));
}
