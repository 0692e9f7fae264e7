// A list that is read again and again. Pure, so that tests need no browser.

export type LiveRows<Row> = {
  readonly rows: readonly Row[];
  /** How many rows of the latest reading are not shown, because a person reads the others. */
  readonly waiting: number;
};

/**
 * What the list shows after another reading. While a person reads it, its rows stay where they are and show their new
 * state; new rows wait.
 */
export function mergeRows<Row>(
  shown: readonly Row[],
  read: readonly Row[],
  { keyOf, isReading }: { keyOf: (row: Row) => string; isReading: boolean },
): LiveRows<Row> {
  if (!isReading || shown.length === 0) return { rows: read, waiting: 0 };
  const fresh = new Map(read.map((row) => [keyOf(row), row]));
  const rows = shown.map((row) => fresh.get(keyOf(row)) ?? row);
  for (const row of shown) fresh.delete(keyOf(row));
  return { rows, waiting: fresh.size };
}
