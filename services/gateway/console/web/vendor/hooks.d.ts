// What the console takes of Preact's hooks.
type Leave = void | (() => void);
export function useEffect(effect: () => Leave, when?: readonly unknown[]): void;
export function useLayoutEffect(effect: () => Leave, when?: readonly unknown[]): void;
export function useMemo<T>(make: () => T, when: readonly unknown[]): T;
export function useCallback<T extends Function>(call: T, when: readonly unknown[]): T;
export function useRef(first: null): { current: any };
export function useState(first: never[]): [any[], (next: any) => void];
export function useState(first: null): [any, (next: any) => void];
export function useState(): [any, (next: any) => void];
export function useRef<T>(first: T): { current: T };
export function useState<T>(first: T | (() => T)): [T, (next: T | ((old: T) => T)) => void];
