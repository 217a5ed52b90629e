import { Controller, Get, Param, Res } from '@nestjs/common';
import { Response } from 'express';
import { readFileSync } from 'fs';
import { join } from 'path';

@Controller('files')
export class FilesController {
  @Get(':name')
  get(@Param('name') name: string, @Res() res: Response) {
    const data = readFileSync(join(process.cwd(), 'uploads', name));
    res.end(data);
  }
}
