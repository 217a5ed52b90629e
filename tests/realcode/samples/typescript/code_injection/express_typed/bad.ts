import type { Request, Response } from 'express';

export const evaluate = (req: Request<unknown, unknown, { code: string }>, res: Response): void => {
  const { code } = req.body;
  const answer: unknown = Function('"use strict"; return (' + code + ')')();
  res.json({ answer });
};
