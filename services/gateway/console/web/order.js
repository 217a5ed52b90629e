// Where a row stands among others. Pure.

/** Where a row of this sequence is, or belongs: rows are in descending order. */
export function place(rows, seq) {
  let low = 0, high = rows.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (rows[middle].created_seq > seq) low = middle + 1;
    else high = middle;
  }
  return low;
}
