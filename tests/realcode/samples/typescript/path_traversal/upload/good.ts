import express, { Request, Response } from 'express';
import * as fs from 'fs';
import * as path from 'path';
import { randomUUID } from 'crypto';
import multer from 'multer';

const upload = multer({ storage: multer.memoryStorage() });
const router = express.Router();

router.post('/upload', upload.single('file'), (req: Request, res: Response) => {
  const file = req.file as Express.Multer.File;
  fs.writeFileSync(path.join('uploads', randomUUID()), file.buffer);
  res.sendStatus(201);
});
