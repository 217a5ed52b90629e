'use server';

export async function fetchPreview() {
  const response = await fetch('https://preview.example.org/latest');
  return response.text();
}
