import { NextRequest, NextResponse } from 'next/server';

const PAGES = new Set(['/home', '/account']);

export function middleware(request: NextRequest) {
  const target = request.nextUrl.searchParams.get('redirect');
  if (target && PAGES.has(target)) return NextResponse.redirect(new URL(target, request.url));
  return NextResponse.next();
}
