// Reads portable books that are stored as tables: exactly the lines of the file that they stand for, in bounded memory.
import { createHash } from 'node:crypto';
import { open, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { Findings } from './findings.ts';
import { FormError, renderLine } from './form.ts';
import { readParquet, type RowGroup } from './parquet.ts';
import type { Lines } from './read-lines.ts';
import { type Cells, ENDS, entriesOf, PLACE_CELLS, type TableName, tableFile, TABLES } from './table-form.ts';
import { ThriftError } from './thrift.ts';

/** As long as a line of a file may be. */
const LINE_LENGTH_MAX = 1024 * 1024;
const BATCH_LENGTH = 256 * 1024;
const BATCH_LINES = 1000;

/**
 * Reads a folder to its end. Compares the entries, too, if there are `findings` for that. Throws a FormError that names the file
 * that is wrong.
 */
export async function* readTables(
  folder: string,
  signal: AbortSignal,
  findings: Findings | null,
): AsyncGenerator<Lines> {
  const [header, trailer] = await readEnds(folder);
  const hash = createHash('sha256');
  const batch = (lines: readonly string[]): Lines => {
    const text = `${lines.join('\n')}\n`;
    hash.update(text);
    return { lines, bytes: Buffer.byteLength(text), sha256Before: null };
  };
  yield batch([header]);
  let lines: string[] = [];
  let length = 0;
  for await (const line of listLines(folder, signal, findings)) {
    if (line.length > LINE_LENGTH_MAX) throw new FormError(`is longer than ${LINE_LENGTH_MAX} characters`);
    lines.push(line);
    length += line.length;
    if (length < BATCH_LENGTH && lines.length < BATCH_LINES) continue;
    yield batch(lines);
    [lines, length] = [[], 0];
  }
  if (lines.length > 0) yield batch(lines);
  yield { lines: [trailer], bytes: Buffer.byteLength(trailer) + 1, sha256Before: hash.digest('hex') };
}

/** The first line and the last. */
async function readEnds(folder: string): Promise<[string, string]> {
  const path = await fileOf(folder, ENDS);
  const file = await open(path, 'r');
  let text: string;
  try {
    const bytes = Buffer.alloc(2 * LINE_LENGTH_MAX);
    const { bytesRead } = await file.read(bytes, 0, bytes.length, 0);
    text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes.subarray(0, bytesRead));
  } catch (error) {
    if (!(error instanceof TypeError)) throw error;
    throw new FormError(`is not known, because ${ENDS} is not UTF-8`);
  } finally {
    await file.close();
  }
  const [header, trailer, rest] = text.split('\n', 4);
  if (
    header === undefined ||
    trailer === undefined ||
    rest !== '' ||
    text.length > header.length + trailer.length + 2
  ) {
    throw new FormError(`is not known, because ${ENDS} has not exactly two lines`);
  }
  return [header, trailer];
}

/** Opening anything else may wait without end. */
async function fileOf(folder: string, name: string): Promise<string> {
  const path = join(folder, name);
  if (!(await stat(path)).isFile()) throw new FormError(`is not known, because ${name} is not a file`);
  return path;
}

async function* listLines(folder: string, signal: AbortSignal, findings: Findings | null): AsyncGenerator<string> {
  const opened: Table[] = [];
  const table = (name: TableName): Table => {
    const cursor = new Table(folder, name, signal);
    opened.push(cursor);
    return cursor;
  };
  try {
    const [journal, changes, acts, transfers] = [table('journal'), table('changes'), table('acts'), table('transfers')];
    const entries = findings && new ComparedEntries(table('entries'), findings);
    while (await journal.has()) {
      const row = journal.take();
      const [number = null, settledAt = null] = row;
      while (await changes.has(number)) yield renderRecord('change', changes.take().slice(PLACE_CELLS.changes));
      while (await acts.has(number)) yield renderRecord('act', acts.take().slice(PLACE_CELLS.acts));
      for (let position = 1; await transfers.has(number); position += 1) {
        const [, place, completedAt, ...cells] = transfers.take();
        transfers.must(place === String(position), 'journal_position', position, place);
        transfers.must(completedAt === settledAt, 'completed_at', settledAt, completedAt);
        if (entries) for (const entry of entriesOf(cells, number, settledAt)) await entries.compare(entry);
        yield renderRecord('transfer', cells);
      }
      yield renderRecord('journal', row);
    }
    for (const records of [changes, acts, transfers]) {
      if (!(await records.has())) continue;
      records.must(false, 'journal_number', 'that of a row in journal.parquet, in its order', records.take()[0]);
    }
    await entries?.end();
    for (const [name, type] of [
      ['keys', 'key'],
      ['accounts', 'account'],
    ] as const) {
      const rows = table(name);
      while (await rows.has()) yield renderRecord(type, rows.take());
    }
  } finally {
    for (const cursor of opened) await cursor.close();
  }
}

function renderRecord(type: 'change' | 'act' | 'transfer' | 'journal' | 'key' | 'account', cells: Cells): string {
  return renderLine(type, cells).slice(0, -1);
}

/** The rows of a table, one after the other. */
class Table {
  readonly file: string;
  /** How many rows have been taken. */
  taken = 0;
  readonly #groups: AsyncGenerator<RowGroup>;
  #group: RowGroup = { rows: 0, columns: [] };
  #next = 0;
  #ended = false;

  constructor(folder: string, name: TableName, signal: AbortSignal) {
    this.file = tableFile(name);
    this.#groups = readGroups(folder, name, signal);
  }

  /** Whether a row comes next; with `first`: one that has this in its first column. */
  async has(first?: string | null): Promise<boolean> {
    while (this.#next === this.#group.rows && !this.#ended) {
      this.#group = { rows: 0, columns: [] };
      this.#next = 0;
      const { value, done } = await this.#groups.next();
      if (done === true) this.#ended = true;
      else this.#group = value;
    }
    return !this.#ended && (first === undefined || this.#group.columns[0]?.[this.#next] === first);
  }

  take(): Cells {
    const cells = this.#group.columns.map((column) => column[this.#next] ?? null);
    this.#next += 1;
    this.taken += 1;
    return cells;
  }

  /** `what` of the row that was taken last. */
  must(holds: boolean, what: string, expected: string | number | null, found: string | null | undefined): void {
    if (holds) return;
    const place = `${this.file} row ${this.taken}: ${what}`;
    throw new FormError(`is not known, because of ${place}: expected ${expected}, found ${found ?? 'null'}`);
  }

  async close(): Promise<void> {
    await this.#groups.return(undefined);
  }
}

async function* readGroups(folder: string, name: TableName, signal: AbortSignal): AsyncGenerator<RowGroup> {
  const file = tableFile(name);
  try {
    yield* readParquet(await fileOf(folder, file), TABLES[name], signal);
  } catch (error) {
    if (!(error instanceof ThriftError)) throw error;
    throw new FormError(`is not known, because ${file} ${error.message}`);
  }
}

/** Compares the table of entries with those that follow from the transfers. */
class ComparedEntries {
  readonly #table: Table;
  readonly #findings: Findings;
  #ended = false;

  constructor(table: Table, findings: Findings) {
    this.#table = table;
    this.#findings = findings;
  }

  async compare(expected: Cells): Promise<void> {
    if (this.#ended) return;
    this.#findings.count('tables.entries');
    if (!(await this.#table.has())) {
      this.#differ('row', 'an entry', 'no more rows', expected);
      this.#ended = true;
      return;
    }
    const found = this.#table.take();
    const others = TABLES.entries.map(({ name }) => name).filter((_, index) => expected[index] !== found[index]);
    const [name] = others;
    if (name === undefined) return;
    const index = TABLES.entries.findIndex((column) => column.name === name);
    this.#differ(name, expected[index] ?? null, found[index] ?? null, expected);
    // After an entry that is missing, or one too many, all others differ.
    this.#ended = others.includes('transfer_id') || others.includes('account_number');
  }

  async end(): Promise<void> {
    if (!this.#ended && (await this.#table.has())) this.#differ('row', 'no more rows', 'an entry', this.#table.take());
  }

  #differ(what: string, expected: string | null, found: string | null, entry: Cells): void {
    const { file, line, journal } = this.#findings;
    const [account, currency, , , , transfer, , number] = entry;
    this.#findings.file = join(file, this.#table.file);
    this.#findings.line = this.#table.taken;
    this.#findings.journal = number === null || number === undefined ? null : Number(number);
    const about = { ...(account && { account }), ...(currency && { currency }), ...(transfer && { transfer }) };
    this.#findings.add('tables.entries', about, what, expected, found);
    [this.#findings.file, this.#findings.line, this.#findings.journal] = [file, line, journal];
  }
}
