// The folder of gopherpay export --format=parquet: the records of portable books as tables, the first and the last line, and the
// entries, which follow from the transfers.
import { chmod, mkdir, mkdtemp, open, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fieldsOf } from '../books/record.ts';
import { ENDS, entriesOf, type TableName, tableFile, TABLES } from '../books/table-form.ts';
import { writeBooks, type Written } from '../books/write.ts';
import type { BooksSource, CoveredRow } from '../db/queries/portable-books.ts';
import { ParquetTable } from '../render/parquet.ts';
import { VERSION } from '../version.ts';
import { contentOf, newCounts, refuseUnproven } from './books-content.ts';
import { refuseOther } from './file.ts';

const NAMES = ['journal', 'changes', 'acts', 'transfers', 'entries', 'keys', 'accounts'] as const;

type Options = {
  /** Those of the range with which the books were opened. */
  readonly ledger: string;
  readonly since: bigint;
  readonly onRow: () => void;
  readonly signal: AbortSignal;
};

/**
 * Writes books to a folder. Their hashes are recomputed on the way. The files are on the disk, and get their names, when all are
 * complete: the one that proves them is the last. Throws a CommandError if the books are not whole.
 */
export async function writeTables(
  books: BooksSource,
  folder: string,
  { ledger, since, onRow, signal }: Options,
): Promise<Written> {
  const files = [...NAMES.map(tableFile), ENDS];
  for (const file of files) await refuseOther(join(folder, file));
  await mkdir(folder, { recursive: true });
  // Of this export and this user alone: the writer opens its files by name, and would follow a link or append to a file.
  const temporary = await mkdtemp(join(folder, '.gopherpay-'));
  try {
    const tables = new Tables(temporary);
    const written = newCounts();
    const source = tables.observe(books, { onRow, signal });
    const ends: string[] = [];
    try {
      // The lines themselves are not kept: the tables have them.
      for await (const text of writeBooks(contentOf(source, { ledger, since }), written)) {
        ends[ends.length === 0 ? 0 : 1] = text;
      }
    } catch (error) {
      throw refuseUnproven(error, ledger);
    }
    await tables.finish();
    await writeFile(join(temporary, ENDS), ends.join(''));
    for (const file of files) await settleFile(join(temporary, file));
    for (const file of files) await rename(join(temporary, file), join(folder, file));
    await flush(folder);
    return written;
  } finally {
    await rm(temporary, { recursive: true, force: true });
  }
}

async function settleFile(path: string): Promise<void> {
  await chmod(path, 0o600);
  await flush(path);
}

async function flush(path: string): Promise<void> {
  const file = await open(path, 'r');
  try {
    await file.sync();
  } finally {
    await file.close();
  }
}

class Tables {
  readonly #tables: Readonly<Record<TableName, ParquetTable>>;

  constructor(folder: string) {
    const table = (name: TableName) =>
      new ParquetTable(join(folder, tableFile(name)), TABLES[name], `gopherpay ${VERSION}`);
    this.#tables = {
      journal: table('journal'),
      changes: table('changes'),
      acts: table('acts'),
      transfers: table('transfers'),
      entries: table('entries'),
      keys: table('keys'),
      accounts: table('accounts'),
    };
  }

  /** The same books: what is read from them is added to the tables. */
  observe(books: BooksSource, { onRow, signal }: Pick<Options, 'onRow' | 'signal'>): BooksSource {
    const { keys, accounts } = this.#tables;
    const add = async (row: CoveredRow) => {
      await this.#addRow(row);
      onRow();
    };
    return {
      ...books,
      rows: () => observe(books.rows(), add, signal),
      keys: () => observe(books.keys(), async (cells) => await keys.add(cells), signal),
      accounts: () => observe(books.accounts(), async (cells) => await accounts.add(cells), signal),
    };
  }

  async finish(): Promise<void> {
    for (const name of NAMES) await this.#tables[name].finish();
  }

  async #addRow({ cells, changes, acts, transfers }: CoveredRow): Promise<void> {
    const [number = null, settledAt = null] = cells;
    await this.#tables.journal.add(cells);
    for (const record of changes) await this.#tables.changes.add([number, ...fieldsOf(record)]);
    for (const record of acts) await this.#tables.acts.add([number, ...fieldsOf(record)]);
    for (const [index, record] of transfers.entries()) {
      const fields = fieldsOf(record);
      await this.#tables.transfers.add([number, String(index + 1), settledAt, ...fields]);
      for (const entry of entriesOf(fields, number, settledAt)) await this.#tables.entries.add(entry);
    }
  }
}

async function* observe<Item>(
  pages: AsyncIterable<readonly Item[]>,
  onItem: (item: Item) => Promise<void>,
  signal: AbortSignal,
): AsyncGenerator<readonly Item[]> {
  for await (const page of pages) {
    signal.throwIfAborted();
    for (const item of page) await onItem(item);
    yield page;
  }
}
