import { redirect } from 'next/navigation';

export default async function Page({ searchParams }: { searchParams: { to: string } }) {
  redirect(searchParams.to);
}
