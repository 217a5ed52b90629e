// What the console takes of Preact.
export type Child = object | string | number | bigint | boolean | null | undefined | Child[];
export function h(type: any, props: Record<string, any> | null, ...children: Child[]): object;
export function render(child: Child, parent: Element | null): void;
export const Fragment: (props: { children?: Child }) => object;
