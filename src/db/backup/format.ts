// The form of a backup. It is text, compressed as one zstd frame:
//
//   {"format":1,…}                                      the header: when, of what, and the heads of the journals
//   {"table":"accounts","columns":["balance",…]}        for each table: its columns,
//   100	0	…                                            its rows in the text form of COPY, which no version changes,
//   \.                                                  and the end of its rows, which is no row in that form
//   {"tables":{"accounts":{"rows":1,…},…},"sha256":"…"} the trailer: what each table must have
//
// A file without its trailer is incomplete.
import { createHash } from 'node:crypto';
import { z } from 'zod';

export const FORMAT = 1;
/** The end of the rows of a table. A row never begins like this: COPY doubles each backslash of a value. */
export const END_OF_ROWS = Buffer.from('\\.\n');
const LINE_FEED = 0x0a;
/**
 * Of a line of the description, and of a row. A header has at most 100,000 heads of 200 bytes. No request becomes a row of more
 * than 100 KiB, and a line of portable books has at most 1 MiB. Without a limit, a small file of one endless row would
 * fill the memory.
 */
const LINE_BYTES_MAX = 32 * 1024 * 1024;

const sha256 = z.string().regex(/^[0-9a-f]{64}$/);
const name = z.string().regex(/^[a-z_][a-z0-9_]*$/);
// These are shown on terminals.
const word = z.string().regex(/^[\w.:+-]{1,100}$/);
const headerSchema = z.object({
  format: z.literal(FORMAT),
  created_at: word,
  gopherpay_version: word,
  server_version: word,
  /** In the order in which they were applied. */
  migrations: z.array(word),
  heads: z.array(z.object({ ledger: word, journal_number: z.int().min(0), journal_hash: sha256 })),
});
const sectionSchema = z.object({ table: name, columns: z.array(name).min(1) });
const trailerSchema = z.object({
  tables: z.record(name, z.object({ rows: z.int().min(0), bytes: z.int().min(0), sha256 })),
  /** Over the header, the line before each table, and the tables of the trailer. */
  sha256,
});

export type Header = z.infer<typeof headerSchema>;
export type Section = z.infer<typeof sectionSchema>;
export type Trailer = z.infer<typeof trailerSchema>;
type Manifest = { readonly header: Header; readonly tables: Trailer['tables'] };

/** A backup that cannot be restored; the message completes the sentence "The backup FILE …". */
export class BackupError extends Error {}

/** Counts and hashes what is written or read. */
export class Tally {
  readonly #lines = createHash('sha256');
  readonly #tables: Trailer['tables'] = {};
  #rows = createHash('sha256');
  #count = 0;
  #bytes = 0;

  line(line: string): void {
    this.#lines.update(line);
  }

  /** Adds whole rows of the current table, and returns how many they are. */
  rows(chunk: Buffer): number {
    const count = countLines(chunk);
    this.#rows.update(chunk);
    this.#count += count;
    this.#bytes += chunk.length;
    return count;
  }

  endTable(table: string): Trailer['tables'][string] {
    const found = { rows: this.#count, bytes: this.#bytes, sha256: this.#rows.digest('hex') };
    this.#tables[table] = found;
    this.#rows = createHash('sha256');
    this.#count = 0;
    this.#bytes = 0;
    return found;
  }

  end(): Trailer {
    const hash = this.#lines.copy().update(JSON.stringify(this.#tables));
    return { tables: this.#tables, sha256: hash.digest('hex') };
  }
}

function countLines(chunk: Buffer): number {
  let count = 0;
  for (let at = chunk.indexOf(LINE_FEED); at !== -1; at = chunk.indexOf(LINE_FEED, at + 1)) count += 1;
  return count;
}

/** Reads the text of a backup, and compares it with its trailer. */
export class BackupReader {
  readonly #chunks: AsyncIterator<Buffer>;
  readonly #tally = new Tally();
  #rest: Buffer = Buffer.alloc(0);

  constructor(chunks: AsyncIterable<Buffer>) {
    this.#chunks = chunks[Symbol.asyncIterator]();
  }

  /**
   * Reads the whole backup. `load` gets the rows of each table, in whole lines, and must take all of them. Throws a
   * BackupError if the backup is not whole.
   */
  async read(load: (section: Section, rows: AsyncGenerator<Buffer>) => Promise<void>): Promise<Manifest> {
    const header = parseHeader(await this.#hashedLine());
    const tables: Trailer['tables'] = {};
    for (;;) {
      const line = await this.#line();
      const section = sectionSchema.safeParse(parseJson(line));
      if (!section.success) {
        await this.#finish(line);
        return { header, tables };
      }
      const { table } = section.data;
      if (table in tables) throw damaged(`the table ${table} comes twice`);
      this.#tally.line(line);
      await load(section.data, this.#rows());
      tables[table] = this.#tally.endTable(table);
    }
  }

  async #finish(line: string): Promise<void> {
    const trailer = trailerSchema.safeParse(parseJson(line));
    if (!trailer.success) throw damaged('its end is missing or unreadable');
    const found = this.#tally.end();
    for (const [table, expected] of Object.entries(trailer.data.tables)) {
      const own = found.tables[table];
      if (!own) throw damaged(`the table ${table} is missing`);
      if (own.sha256 !== expected.sha256 || own.rows !== expected.rows) throw damaged(`the table ${table} was changed`);
    }
    if (found.sha256 !== trailer.data.sha256) throw damaged('its description was changed');
    if (this.#rest.length > 0 || !(await this.#chunks.next()).done) throw damaged('something follows its end');
  }

  async #hashedLine(): Promise<string> {
    const line = await this.#line();
    this.#tally.line(line);
    return line;
  }

  /** The next line, with its line feed. */
  async #line(): Promise<string> {
    let end: number;
    while ((end = this.#rest.indexOf(LINE_FEED)) === -1) {
      if (!(await this.#fill())) throw damaged('its end is missing or unreadable');
    }
    const line = this.#rest.toString('utf8', 0, end + 1);
    this.#rest = this.#rest.subarray(end + 1);
    return line;
  }

  async *#rows(): AsyncGenerator<Buffer> {
    for (;;) {
      const end = endOfRows(this.#rest);
      // Whole lines, so that the end is found at the beginning of what remains.
      const whole = end ?? this.#rest.lastIndexOf(LINE_FEED) + 1;
      const rows = this.#rest.subarray(0, whole);
      this.#rest = this.#rest.subarray(end === null ? whole : whole + END_OF_ROWS.length);
      if (rows.length > 0) {
        this.#tally.rows(rows);
        yield rows;
      }
      if (end !== null) return;
      if (!(await this.#fill())) throw damaged('its end is missing or unreadable');
    }
  }

  /** Reads on, up to a chunk with a line feed. False: there is none. */
  async #fill(): Promise<boolean> {
    const parts = [this.#rest];
    for (let bytes = this.#rest.length; bytes <= LINE_BYTES_MAX;) {
      const { done, value } = await this.#chunks.next();
      if (done) return false;
      parts.push(value);
      bytes += value.length;
      if (!value.includes(LINE_FEED)) continue;
      this.#rest = Buffer.concat(parts);
      return true;
    }
    throw damaged('it has a line that is too long');
  }
}

/** Where the end of the rows begins in a text that begins with a line; null: it has none. */
function endOfRows(text: Buffer): number | null {
  if (text.subarray(0, END_OF_ROWS.length).equals(END_OF_ROWS)) return 0;
  const found = text.indexOf('\n\\.\n');
  return found === -1 ? null : found + 1;
}

function parseHeader(line: string): Header {
  const found = parseJson(line);
  const format = z.object({ format: z.int() }).safeParse(found);
  if (!format.success) throw new BackupError('is not a backup of GopherPay');
  if (format.data.format > FORMAT) {
    throw new BackupError(
      `has the form ${format.data.format}, and this version of GopherPay reads up to ${FORMAT}: restore it with the newer version that made it`,
    );
  }
  const header = headerSchema.safeParse(found);
  if (!header.success) throw damaged('its header is unreadable');
  return header.data;
}

function damaged(why: string): BackupError {
  return new BackupError(`is damaged, ${why}: use another backup`);
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}
