const FORBIDDEN = new Set(['__proto__', 'constructor', 'prototype']);

export function setPath(target: Record<string, any>, path: string, value: unknown): void {
  const keys = path.split('.');
  if (keys.some((key) => FORBIDDEN.has(key))) throw new Error('forbidden key');
  let current = target;
  for (let i = 0; i < keys.length - 1; i++) {
    current[keys[i]] = current[keys[i]] || {};
    current = current[keys[i]];
  }
  current[keys[keys.length - 1]] = value;
}
