import { DataSource } from 'typeorm';
import { Invoice } from './invoice';

export function overdue(source: DataSource, customer: string) {
  return source
    .getRepository(Invoice)
    .createQueryBuilder('invoice')
    .where('invoice.paid = false')
    .andWhere("invoice.customer = '" + customer + "'")
    .getMany();
}
