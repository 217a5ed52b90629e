import { Controller, Get, Query } from '@nestjs/common';
import { execSync } from 'child_process';

@Controller('backup')
export class BackupController {
  @Get()
  run(@Query('name') name: string): string {
    return execSync('tar czf /backups/' + name + '.tgz /data').toString();
  }
}
