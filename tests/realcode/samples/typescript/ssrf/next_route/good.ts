import { NextRequest, NextResponse } from 'next/server';

export async function GET(request: NextRequest) {
  const name = request.nextUrl.searchParams.get('name') ?? '';
  const image = await fetch(`https://cdn.example.com/images/${encodeURIComponent(name)}.png`);
  return new NextResponse(image.body, { headers: { 'content-type': 'image/png' } });
}
