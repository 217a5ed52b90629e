import type { GetServerSideProps } from 'next';

export const getServerSideProps: GetServerSideProps = async ({ query }) => {
  return { redirect: { destination: query.next as string, permanent: false } };
};
