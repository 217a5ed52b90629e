import { Controller, Get, Redirect, Res } from '@nestjs/common';
import { Response } from 'express';

@Controller('sso')
export class SsoController {
  @Get('done')
  done(@Res() res: Response) {
    return res.redirect('/home');
  }
}
