import Handlebars from 'handlebars';
import type { Request, Response } from 'express';

export function notice(req: Request, res: Response): void {
  const render = Handlebars.compile(`Dear {{name}}, ${req.body.text}`);
  res.type('text/plain').send(render({ name: req.body.name }));
}
