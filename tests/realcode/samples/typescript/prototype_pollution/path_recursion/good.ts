export const assignPath = (target: Map<string, unknown>, path: string[], value: unknown): void => {
  target.set(path.join('.'), value);
};
