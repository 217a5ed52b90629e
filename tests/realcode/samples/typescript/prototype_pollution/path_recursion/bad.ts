export const assignPath = (target: any, path: string[], value: unknown): void => {
  const [head, ...rest] = path;
  if (rest.length === 0) {
    target[head] = value;
    return;
  }
  target[head] = target[head] ?? {};
  assignPath(target[head], rest, value);
};
