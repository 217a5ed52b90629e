import { NextRequest, NextResponse } from 'next/server';

export async function GET(request: NextRequest) {
  const source = request.nextUrl.searchParams.get('src');
  const image = await fetch(source!);
  return new NextResponse(image.body, { headers: { 'content-type': 'image/png' } });
}
