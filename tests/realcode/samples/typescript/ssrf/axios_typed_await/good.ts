import axios from 'axios';
import { Request, Response } from 'express';

export async function preview(req: Request, res: Response): Promise<void> {
  const page = await axios.get<string>('https://blog.example.org/');
  res.json({ title: /<title>(.*)<\/title>/.exec(page.data)?.[1] });
}
