import { Controller, Get, Query } from '@nestjs/common';
import { DataSource } from 'typeorm';

@Controller('products')
export class ProductsController {
  constructor(private readonly dataSource: DataSource) {}

  @Get()
  list(@Query('q') q: string) {
    return this.dataSource
      .createQueryBuilder()
      .select('p')
      .from('product', 'p')
      .where('p.name LIKE :q', { q: `%${q}%` })
      .getMany();
  }
}
