// Transfers on their way into the database: one array per column. Both tables of transfers have these columns.
import type { TransferColumns } from '../../domain/job.ts';
import { quoteElement } from '../connection/parameters.ts';

type Value = string | bigint | number | boolean | null;

/** Characters that must be escaped between the quotes of an array's element. */
const SPECIAL = /["\\]/;

/** The columns by their names in the tables. A column without values in a batch is sent as one null. */
const COLUMNS: readonly { name: string; type: string; field: keyof TransferColumns }[] = [
  { name: 'id', type: 'uuid', field: 'id' },
  { name: 'from_account', type: 'text', field: 'fromAccount' },
  { name: 'to_account', type: 'text', field: 'toAccount' },
  { name: 'kind', type: 'text', field: 'kind' },
  { name: 'parent_id', type: 'uuid', field: 'parentId' },
  { name: 'group_id', type: 'uuid', field: 'groupId' },
  { name: 'group_position', type: 'integer', field: 'groupPosition' },
  { name: 'atomic', type: 'boolean', field: 'atomic' },
  { name: 'final_capture', type: 'boolean', field: 'finalCapture' },
  { name: 'expires_in', type: 'integer', field: 'expiresIn' },
  { name: 'if_from_entry_number', type: 'bigint', field: 'ifFromEntryNumber' },
  { name: 'if_min_available_after', type: 'bigint', field: 'ifMinAvailableAfter' },
  { name: 'request_id', type: 'text', field: 'requestId' },
  { name: 'ordered_by', type: 'text', field: 'orderedBy' },
  { name: 'approved_by', type: 'text', field: 'approvedBy' },
  { name: 'rate', type: 'text', field: 'rate' },
  { name: 'remote_account', type: 'text', field: 'remoteAccount' },
  { name: 'description', type: 'text', field: 'description' },
  { name: 'metadata', type: 'jsonb', field: 'metadataText' },
];

/** The arrays of `renderColumns` as arguments of unnest, the first being parameter `first`. */
export function columnArrays(first: number): string {
  return COLUMNS.map(({ type }, index) => `$${first + index}::${type}[]`).join(', ');
}

/** The names of the columns, after unnest and in the tables. */
export const COLUMN_NAMES = COLUMNS.map(({ name }) => name).join(', ');
/** The values of the columns, after unnest: 'transfer' is sent as null. */
export const COLUMN_VALUES = COLUMN_NAMES.replace('kind', `coalesce(kind, 'transfer')`);

/**
 * The request id under which a row of either table is found: the caller's own, or else the id of its group, or its own
 * id.
 */
export const REQUEST_ID = 'coalesce(request_id, group_id::text, id::text)';

/** Transfers as one array for each of their columns, in the order of COLUMN_NAMES. */
export function renderColumns(columns: TransferColumns): (string | null)[] {
  return COLUMNS.map(({ field }) => renderColumn(columns[field]));
}

/**
 * A column as PostgreSQL's text of an array; null if every value is null, because unnest pads shorter arrays with
 * nulls.
 */
export function renderColumn(values: readonly Value[] | null): string | null {
  if (values === null || values.every((value) => value === null)) return null;
  // The separator includes the quotes: a quoted copy of each value would be garbage for the collector.
  if (values.every(isPlainText)) return `{"${values.join('","')}"}`;
  return `{${values.map(renderValue).join()}}`;
}

/** A column of bytes, which are given in hexadecimal digits. */
export function renderBytes(values: readonly (string | null)[]): string | null {
  if (values.every((digits) => digits === null)) return null;
  return `{${values.map((digits) => (digits === null ? 'NULL' : `"\\\\x${digits}"`)).join()}}`;
}

function isPlainText(value: Value): boolean {
  return typeof value === 'string' && !SPECIAL.test(value);
}

function renderValue(value: Value): Value {
  if (value === null) return 'NULL';
  return typeof value === 'string' ? quoteElement(value) : value;
}
