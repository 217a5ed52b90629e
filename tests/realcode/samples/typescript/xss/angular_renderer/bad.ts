import { DomSanitizer } from '@angular/platform-browser';
import { Renderer2 } from '@angular/core';

export class Frame {
  constructor(private san: DomSanitizer, private renderer: Renderer2) {}

  url(value: string) {
    return this.san.bypassSecurityTrustResourceUrl(value);
  }

  set(el: HTMLElement, value: string) {
    this.renderer.setProperty(el, 'innerHTML', value);
  }
}
