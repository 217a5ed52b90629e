import { NestFactory } from '@nestjs/core';
import { AppModule } from './app.module';

async function bootstrap(): Promise<void> {
  const app = await NestFactory.create(AppModule);
  await app.listen(3000, process.env.BIND_ADDRESS ?? '127.0.0.1');
}
void bootstrap();
