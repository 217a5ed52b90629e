import { HttpService } from '@nestjs/axios';
import { Body, Controller, Post } from '@nestjs/common';
import { firstValueFrom } from 'rxjs';

@Controller('import')
export class ImportController {
  constructor(private readonly http: HttpService) {}

  @Post()
  async run(@Body('source') source: string) {
    const { data } = await firstValueFrom(this.http.get(source));
    return { size: data.length };
  }
}
