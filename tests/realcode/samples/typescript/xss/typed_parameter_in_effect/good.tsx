export function Banner({ message }: { message: string }) {
  return (
    <div>
      <strong>{message}</strong>
    </div>
  );
}
