import { useEffect, useRef } from 'react';

export function Banner({ message }: { message: string }) {
  const ref = useRef<HTMLDivElement>(null);
  useEffect(() => {
    if (ref.current) {
      ref.current.innerHTML = `<strong>${message}</strong>`;
    }
  }, [message]);
  return <div ref={ref} />;
}
