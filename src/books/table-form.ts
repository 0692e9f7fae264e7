// The form of portable books as tables: the records of the lines, each with its place in the journal, and the entries, which
// follow from the transfers.
import { FORMS } from './form.ts';

/** integer: 64 bits. instant: microseconds since 1970, in UTC. */
export type TableColumn = { readonly name: string; readonly type: 'text' | 'integer' | 'boolean' | 'instant' };

export type Cells = readonly (string | null)[];

const ROW: TableColumn = { name: 'journal_number', type: 'integer' };
const TIMES = /(?:^|_)at$|^clock$/;

function columnsOf(type: 'change' | 'act' | 'transfer' | 'journal' | 'key' | 'account'): readonly TableColumn[] {
  return Object.entries(FORMS[type]).map(([name, { schema }]) => ({ name, type: typeOf(name, schema['type']) }));
}

function typeOf(name: string, type: unknown): TableColumn['type'] {
  if (TIMES.test(name)) return 'instant';
  return type === 'integer' || type === 'boolean' ? type : 'text';
}

/** What a transfer has before its own members. */
const PLACE_OF_TRANSFER: readonly TableColumn[] = [
  ROW,
  { name: 'journal_position', type: 'integer' },
  { name: 'completed_at', type: 'instant' },
];

const ENTRIES: readonly TableColumn[] = [
  { name: 'account_number', type: 'text' },
  { name: 'currency', type: 'text' },
  { name: 'entry_number', type: 'integer' },
  { name: 'amount', type: 'integer' },
  { name: 'balance', type: 'integer' },
  { name: 'transfer_id', type: 'text' },
  { name: 'kind', type: 'text' },
  ROW,
  { name: 'settled_at', type: 'instant' },
];

/** The columns of each table, which is the file `NAME.parquet` in the folder. */
export const TABLES = {
  journal: columnsOf('journal'),
  changes: [ROW, ...columnsOf('change')],
  acts: [ROW, ...columnsOf('act')],
  transfers: [...PLACE_OF_TRANSFER, ...columnsOf('transfer')],
  entries: ENTRIES,
  keys: columnsOf('key'),
  accounts: columnsOf('account'),
} as const;

export type TableName = keyof typeof TABLES;

/** The file with the first and the last line. */
export const ENDS = 'books.json';

export function tableFile(name: TableName): string {
  return `${name}.parquet`;
}

/** The cells of a record as a line has them, after those of its place. */
export const PLACE_CELLS = { changes: 1, acts: 1, transfers: PLACE_OF_TRANSFER.length } as const;

const INDEX: ReadonlyMap<string, number> = new Map(Object.keys(FORMS.transfer).map((name, index) => [name, index]));

/** The two entries of a transfer, or none. `cells` are those of its line. */
export function entriesOf(cells: Cells, journalNumber: string | null, settledAt: string | null): readonly Cells[] {
  const of = (name: string): string => cells[INDEX.get(name) ?? -1] ?? '';
  if (of('from_entry_number') === '') return [];
  return (['from', 'to'] as const).map((side) => [
    of(`${side}_account`),
    of('currency'),
    of(`${side}_entry_number`),
    `${side === 'from' ? '-' : ''}${of('amount')}`,
    of(`${side}_balance`),
    of('id'),
    of('kind'),
    journalNumber,
    settledAt,
  ]);
}
