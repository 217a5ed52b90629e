import { BadRequestException, Controller, Get, Query } from '@nestjs/common';
import { execFileSync } from 'child_process';

@Controller('backup')
export class BackupController {
  @Get()
  run(@Query('name') name: string): string {
    if (!/^[a-z0-9-]{1,40}$/.test(name)) throw new BadRequestException();
    return execFileSync('tar', ['czf', `/backups/${name}.tgz`, '/data']).toString();
  }
}
