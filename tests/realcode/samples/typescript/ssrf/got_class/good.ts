import got from 'got';
import type { Request, Response } from 'express';

const FEEDS: Record<string, string> = { news: 'https://news.example.com/rss' };

export class FeedController {
  async read(req: Request, res: Response): Promise<void> {
    const { feed } = req.body as { feed: string };
    const text = await got(FEEDS[feed]).text();
    res.json({ size: text.length });
  }
}
