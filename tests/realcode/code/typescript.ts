import type { Item } from "./item";
import { count as counted, price } from "../stock";
import fs = require("fs");
export * as rules from "./rules";

export interface Order<T extends Item = Item> extends Base {
  readonly items: T[];
  total(): number;
}

export type Name = string | undefined;
export enum Size { Small = 1, Big }
declare module "other" { export function far(): void; }

namespace Shop {
  export const limit = 3;
  export function open(): boolean { return true; }
}

export abstract class Store<T> implements Keeps<T> {
  private items: Map<string, T> = new Map();
  constructor(private readonly name: string) { super(); }
  abstract load(name: string): Promise<T>;
  get size(): number { return this.items.size; }
  @logged
  async find(name: string, strict?: boolean): Promise<T | undefined> {
    const found = this.items.get(name);
    if (found === undefined && strict) throw new Error(name);
    return found ?? undefined;
  }
}

export function pick(a: string): string;
export function pick(a: any): any { return a; }
export const twice = <T,>(x: T): T[] => [x, x];
let total: number = 0;
