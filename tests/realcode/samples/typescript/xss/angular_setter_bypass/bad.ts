import { Component, Input } from '@angular/core';
import { DomSanitizer, SafeHtml } from '@angular/platform-browser';

@Component({
  selector: 'app-comment',
  template: '<div [innerHTML]="html"></div>',
})
export class CommentComponent {
  html: SafeHtml = '';

  constructor(private readonly sanitizer: DomSanitizer) {}

  @Input() set body(value: string) {
    this.html = this.sanitizer.bypassSecurityTrustHtml(value);
  }
}
