'use server';

export async function fetchPreview(formData: FormData) {
  const url = formData.get('url') as string;
  const response = await fetch(url);
  return response.text();
}
