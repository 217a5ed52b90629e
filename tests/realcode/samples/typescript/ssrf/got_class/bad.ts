import got from 'got';
import type { Request, Response } from 'express';

export class FeedController {
  async read(req: Request, res: Response): Promise<void> {
    const { feedUrl } = req.body as { feedUrl: string };
    const text = await got(feedUrl).text();
    res.json({ size: text.length });
  }
}
