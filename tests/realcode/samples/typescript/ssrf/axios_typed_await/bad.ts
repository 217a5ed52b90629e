import axios from 'axios';
import { Request, Response } from 'express';

export async function preview(req: Request, res: Response): Promise<void> {
  const { url } = req.body as { url: string };
  const page = await axios.get<string>(url);
  res.json({ title: /<title>(.*)<\/title>/.exec(page.data)?.[1] });
}
