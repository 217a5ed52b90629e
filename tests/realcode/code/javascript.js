#!/usr/bin/env node
// Orders of a shop.
import fs, { readFile as read, writeFile } from "node:fs";
import * as path from "node:path";
import "./setup.mjs";
export { price } from "./prices.js";
export * from "./rules.js";
const { join } = require("path");
const os = require("os"), LIMIT = 3;

/* What one
   customer wants. */
export class Order extends Base {
  #items = [];
  static size = 1;

  constructor(items) {
    super();
    this.#items = items;
  }

  get total() {
    return this.#items.reduce((sum, one) => sum + (one.price || 0), 0);
  }

  static async load(name, { strict = true } = {}) {
    const text = await read(name);
    if (!text && strict) throw new Error(`no ${name}`);
    return text ? new Order(JSON.parse(text)) : null;
  }
}

export default function main(argv) {
  function help() {}
  for (const one of argv) {
    switch (one) {
      case "a": break;
      case "b": help();
    }
  }
}

export const twice = (x) => x * 2;
const once = function (x) { return x; };
function* numbers() { yield 1; }
const tools = { run(x) { return x; }, stop: () => 0 };
module.exports.late = async () => import("./late.js");
