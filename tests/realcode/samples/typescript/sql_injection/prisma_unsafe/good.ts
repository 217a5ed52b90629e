import { PrismaClient } from '@prisma/client';
import type { NextApiRequest, NextApiResponse } from 'next';

const prisma = new PrismaClient();

export default async function handler(req: NextApiRequest, res: NextApiResponse) {
  const city = req.query.city as string;
  const shops = await prisma.$queryRaw`SELECT * FROM "Shop" WHERE city = ${city}`;
  res.status(200).json(shops);
}
