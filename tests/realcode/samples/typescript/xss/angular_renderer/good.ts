import { DomSanitizer } from '@angular/platform-browser';
import { SecurityContext } from '@angular/core';

export class Frame {
  constructor(private san: DomSanitizer) {}

  html(value: string) {
    return this.san.sanitize(SecurityContext.HTML, value);
  }
}
