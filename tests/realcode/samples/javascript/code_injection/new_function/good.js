const OPERATORS = {
  equal: (value) => (row, field) => row[field] === value,
  above: (value) => (row, field) => row[field] > value,
};

export function makeFilter({ field, operator, value }) {
  const test = OPERATORS[operator](value);
  return (row) => test(row, field);
}
