import { NextRequest, NextResponse } from 'next/server';

export function middleware(request: NextRequest) {
  const target = request.nextUrl.searchParams.get('redirect');
  if (target) return NextResponse.redirect(target);
  return NextResponse.next();
}
