// Transfers on their way into the database, as columns, one array for each. The two tables of transfers share these columns.
import type { Order } from '../domain/transfer.ts';

type Value = string | bigint | number | boolean | null;

/** What has to be escaped between the quotes of an array's element. */
const SPECIAL = /["\\]/;

/** By their names in the tables. What a plain transfer does not have is null, and a column of nulls is sent as one null. */
const COLUMNS: Readonly<Record<string, { type: string; valueOf: (order: Order) => Value }>> = {
  id: { type: 'uuid', valueOf: ({ id }) => id },
  from_account: { type: 'text', valueOf: ({ fromAccount }) => fromAccount },
  to_account: { type: 'text', valueOf: ({ toAccount }) => toAccount },
  plain_kind: { type: 'text', valueOf: ({ kind }) => (kind === 'transfer' ? null : kind) },
  parent_id: { type: 'uuid', valueOf: ({ parentId }) => parentId },
  group_id: { type: 'uuid', valueOf: ({ group }) => group?.id ?? null },
  group_position: { type: 'integer', valueOf: ({ group }) => group?.position ?? null },
  atomic: { type: 'boolean', valueOf: ({ group }) => group?.atomic ?? null },
  final_capture: { type: 'boolean', valueOf: ({ kind, finalCapture }) => (kind === 'capture' ? finalCapture : null) },
  expires_in: { type: 'integer', valueOf: ({ expiresIn }) => expiresIn },
  if_from_entry_number: { type: 'bigint', valueOf: ({ conditions }) => conditions?.fromEntryNumber ?? null },
  if_min_available_after: { type: 'bigint', valueOf: ({ conditions }) => conditions?.minAvailableAfter ?? null },
};

/** The arrays of `renderOrders` as arguments of unnest, the first being parameter `first`; and their names after it. */
export function orderArrays(first: number): string {
  return Object.values(COLUMNS)
    .map(({ type }, index) => `$${first + index}::${type}[]`)
    .join(', ');
}

export const ORDER_NAMES = Object.keys(COLUMNS).join(', ');

/** The same columns under which a table has them: all but the kind, which is null for the most common. */
export const ORDER_COLUMNS = ORDER_NAMES.replace('plain_kind', 'kind');
export const ORDER_VALUES = ORDER_NAMES.replace('plain_kind', `coalesce(plain_kind, 'transfer')`);

/** Under which request id a row of either table is found: the caller's own, or else the id of its group, or its own. */
export const REQUEST_ID = 'coalesce(request_id, group_id::text, id::text)';

/** Orders as one array for each of their columns, in the order of ORDER_NAMES. */
export function renderOrders(orders: readonly Order[]): (string | null)[] {
  return Object.values(COLUMNS).map(({ valueOf }) => renderColumn(orders, valueOf));
}

/** A column of rows as PostgreSQL's text of an array; null if every value is: unnest fills shorter arrays up with nulls. */
export function renderColumn<Row>(rows: readonly Row[], valueOf: (row: Row) => Value): string | null {
  if (rows.every((row) => valueOf(row) === null)) return null;
  const values = rows.map(valueOf);
  // The quotes are part of what joins the values: a quoted copy of each would be garbage for the collector.
  if (values.every(isPlainText)) return `{"${values.join('","')}"}`;
  return `{${values.map(renderValue).join()}}`;
}

function isPlainText(value: Value): boolean {
  return typeof value === 'string' && !SPECIAL.test(value);
}

function renderValue(value: Value): Value {
  if (value === null) return 'NULL';
  return typeof value === 'string' ? `"${value.replaceAll(/["\\]/g, '\\$&')}"` : value;
}
