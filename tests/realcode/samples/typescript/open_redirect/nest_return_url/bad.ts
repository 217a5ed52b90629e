import { Controller, Get, Query, Redirect, Res } from '@nestjs/common';
import { Response } from 'express';

@Controller('sso')
export class SsoController {
  @Get('done')
  done(@Query('returnUrl') returnUrl: string, @Res() res: Response) {
    return res.redirect(returnUrl);
  }

  @Get('other')
  @Redirect()
  other(@Query('to') to: string) {
    return { url: to };
  }
}
