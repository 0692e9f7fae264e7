// The tables of gopherpay export --format=parquet: accounts, transfers, entries, journal.
import { chmod, mkdir, mkdtemp, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { FORMS } from '../books/form.ts';
import { fieldsOf } from '../books/record.ts';
import type { BooksSource } from '../db/queries/portable-books.ts';
import { type Column, ParquetTable } from '../render/parquet.ts';
import { VERSION } from '../version.ts';
import { refuseOther } from './file.ts';

/** Personal data is noise without its keys, and a change number belongs to the proof. */
const NOT_OF_ACCOUNTS = new Set(['personal_data', 'change_number']);

const TRANSFERS: readonly Column[] = [
  { name: 'journal_number', type: 'integer' },
  { name: 'journal_position', type: 'integer' },
  { name: 'completed_at', type: 'instant' },
  ...columnsOf('transfer'),
];

const ENTRIES: readonly Column[] = [
  { name: 'account_number', type: 'text' },
  { name: 'currency', type: 'text' },
  { name: 'entry_number', type: 'integer' },
  { name: 'amount', type: 'integer' },
  { name: 'balance', type: 'integer' },
  { name: 'transfer_id', type: 'text' },
  { name: 'kind', type: 'text' },
  { name: 'journal_number', type: 'integer' },
  { name: 'settled_at', type: 'instant' },
];

const ACCOUNTS = columnsOf('account');
const TABLES = {
  accounts: ACCOUNTS.filter(({ name }) => !NOT_OF_ACCOUNTS.has(name)),
  transfers: TRANSFERS,
  entries: ENTRIES,
  journal: columnsOf('journal'),
} as const;

function columnsOf(type: 'account' | 'transfer' | 'journal'): readonly Column[] {
  return Object.entries(FORMS[type]).map(([name, { schema }]) => ({
    name,
    type: name.endsWith('_at')
      ? 'instant'
      : schema['type'] === 'integer'
        ? 'integer'
        : schema['type'] === 'boolean'
          ? 'boolean'
          : 'text',
  }));
}

/** Writes the tables to a folder. The files get their names when all are complete. */
export async function writeTables(
  books: BooksSource,
  folder: string,
  { onRow, signal }: { onRow: () => void; signal: AbortSignal },
): Promise<void> {
  const names = ['accounts', 'transfers', 'entries', 'journal'] as const;
  const target = (name: string) => join(folder, `${name}.parquet`);
  for (const name of names) await refuseOther(target(name));
  await mkdir(folder, { recursive: true });
  // Of this export and this user alone: the writer opens its files by name, and would follow a link or append to a file.
  const temporary = await mkdtemp(join(folder, '.gopherpay-'));
  const partial = (name: string) => join(temporary, `${name}.parquet`);
  const open = (name: keyof typeof TABLES) => new ParquetTable(partial(name), TABLES[name], `gopherpay ${VERSION}`);
  try {
    const tables = {
      accounts: open('accounts'),
      transfers: open('transfers'),
      entries: open('entries'),
      journal: open('journal'),
    };
    for await (const page of books.rows()) {
      signal.throwIfAborted();
      for (const row of page) {
        await tables.journal.add(row.cells);
        await addTransfers(row, tables);
        onRow();
      }
    }
    for await (const batch of books.accounts()) {
      for (const cells of batch) {
        await tables.accounts.add(cells.filter((_, index) => !NOT_OF_ACCOUNTS.has(ACCOUNTS[index]?.name ?? '')));
      }
    }
    for (const name of names) await tables[name].finish();
    for (const name of names) await chmod(partial(name), 0o600);
    for (const name of names) await rename(partial(name), target(name));
  } finally {
    await rm(temporary, { recursive: true, force: true });
  }
}

type Row = { readonly cells: readonly (string | null)[]; readonly transfers: readonly string[] };

const FIELDS = Object.keys(FORMS.transfer);

async function addTransfers(
  { cells: [number = null, settledAt = null], transfers }: Row,
  tables: { readonly transfers: ParquetTable; readonly entries: ParquetTable },
): Promise<void> {
  for (const [index, record] of transfers.entries()) {
    const fields = fieldsOf(record);
    await tables.transfers.add([number, String(index + 1), settledAt, ...fields]);
    const of = (name: string): string => fields[FIELDS.indexOf(name)] ?? '';
    if (of('from_entry_number') === '') continue;
    for (const side of ['from', 'to']) {
      await tables.entries.add([
        of(`${side}_account`),
        of('currency'),
        of(`${side}_entry_number`),
        `${side === 'from' ? '-' : ''}${of('amount')}`,
        of(`${side}_balance`),
        of('id'),
        of('kind'),
        number,
        settledAt,
      ]);
    }
  }
}
