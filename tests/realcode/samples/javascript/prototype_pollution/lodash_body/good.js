import { z } from 'zod';

const Settings = z.object({ theme: z.enum(['light', 'dark']) }).strict();
let settings = { theme: 'light', mail: { daily: true } };

export function update(req, res) {
  settings = { ...settings, ...Settings.parse(req.body) };
  res.json(settings);
}
