// What the console takes of signals.
export interface ReadonlySignal<T> {
  readonly value: T;
  peek(): T;
  subscribe(hear: (value: T) => void): () => void;
}
export interface Signal<T> extends ReadonlySignal<T> {
  value: T;
}
export function signal(first: null): Signal<any>;
export function signal(first: never[]): Signal<any[]>;
export function signal<T>(first: T): Signal<T>;
export function computed<T>(compute: () => T): ReadonlySignal<T>;
export function effect(run: () => unknown): () => void;
export function batch<T>(run: () => T): T;
export function untracked<T>(run: () => T): T;
export function useSignal(first: null): Signal<any>;
export function useSignal<T>(first: T): Signal<T>;
export function useComputed<T>(compute: () => T): ReadonlySignal<T>;
