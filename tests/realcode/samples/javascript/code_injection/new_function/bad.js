export function makeFilter(condition) {
  return new Function('row', `return ${condition};`);
}
