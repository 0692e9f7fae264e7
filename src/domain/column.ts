// One field of many values, as the messages between the main process and its threads carry it.

/** One value per item; null: every value is null. */
export type Column<Value> = readonly (Value | null)[] | null;

export function toColumn<Item, Value>(items: readonly Item[], valueOf: (item: Item) => Value | null): Column<Value> {
  const values: (Value | null)[] = [];
  let isEmpty = true;
  for (const item of items) {
    const value = valueOf(item);
    if (value !== null) isEmpty = false;
    values.push(value);
  }
  return isEmpty ? null : values;
}
