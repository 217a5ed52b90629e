import { HttpService } from '@nestjs/axios';
import { Controller, Post } from '@nestjs/common';
import { firstValueFrom } from 'rxjs';

@Controller('import')
export class ImportController {
  constructor(private readonly http: HttpService) {}

  @Post()
  async run() {
    const { data } = await firstValueFrom(this.http.get('https://data.example.org/latest.json'));
    return { size: data.length };
  }
}
