import { Component, Input } from '@angular/core';

@Component({
  selector: 'app-comment',
  template: '<div>{{ body }}</div>',
})
export class CommentComponent {
  @Input() body = '';
}
