import { Component, OnInit } from '@angular/core';
import { ActivatedRoute } from '@angular/router';

@Component({ selector: 'app-done', template: '' })
export class DoneComponent implements OnInit {
  constructor(private route: ActivatedRoute) {}

  ngOnInit(): void {
    const url = this.route.snapshot.queryParamMap.get('returnUrl');
    window.location.href = url!;
  }
}
