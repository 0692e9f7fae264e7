// Reads Parquet files as gopherpay export writes them, and no others: flat tables, pages of version 2, Zstandard. It believes no
// count in a file, so that a hostile file takes no more memory than a sound one.
import { type FileHandle, open } from 'node:fs/promises';
import { zstdDecompressSync, constants } from 'node:zlib';
import { decodePages, type ColumnCells } from './parquet-pages.ts';
import type { TableColumn } from './table-form.ts';
import { ThriftError, ThriftReader } from './thrift.ts';

/** Of a footer: that of 100 million transfers, 2.3 KB for each row group, has a fifth of it. */
const FOOTER_BYTES_MAX = 64 * 1024 * 1024;
/** Of a row group, as it is stored and without its compression. An export ends one at 16 million characters. */
const GROUP_BYTES_MAX = 64 * 1024 * 1024;
const GROUP_ROWS_MAX = 65_536;
const GROUPS_MAX = 20_000;
const MAGIC = 'PAR1';
const TAIL_BYTES = 8;
const ZSTD = 6;
const OPTIONAL = 1;
/** Of a number that is not there. */
const NONE = -1;

/** The numbers of Parquet for the types of columns: the physical one, and the converted one. */
const ELEMENTS = {
  text: { type: 6, converted: 0 },
  integer: { type: 2, converted: NONE },
  boolean: { type: 0, converted: NONE },
  instant: { type: 2, converted: 10 },
} as const;

type Chunk = { readonly start: number; readonly bytes: number };
type Group = { readonly rows: number; readonly chunks: readonly Chunk[] };

/** Rows of a table, column by column. */
export type RowGroup = { readonly rows: number; readonly columns: readonly ColumnCells[] };

/**
 * The row groups of a file in their order. Throws a ThriftError if it is no table with these columns, and the error of a file
 * that cannot be read.
 */
export async function* readParquet(
  path: string,
  columns: readonly TableColumn[],
  signal: AbortSignal,
): AsyncGenerator<RowGroup> {
  const file = await open(path, 'r');
  try {
    for (const { rows, chunks } of await readFooter(file, columns)) {
      signal.throwIfAborted();
      const cells: ColumnCells[] = [];
      let left = GROUP_BYTES_MAX;
      const decompress = (bytes: Uint8Array, length: number): Uint8Array => {
        left -= length;
        if (left < 0) throw new ThriftError(`has a row group of more than ${GROUP_BYTES_MAX} bytes`);
        return decompressed(bytes, length);
      };
      for (const [index, { type }] of columns.entries()) {
        const { start = 0, bytes = 0 } = chunks[index] ?? {};
        cells.push(decodePages(await readBytes(file, start, bytes), { type, rows, decompress }));
      }
      yield { rows, columns: cells };
    }
  } finally {
    await file.close();
  }
}

function decompressed(bytes: Uint8Array, length: number): Uint8Array {
  let result: Uint8Array;
  try {
    result = zstdDecompressSync(bytes, {
      maxOutputLength: Math.max(length, 1),
      params: { [constants.ZSTD_d_windowLogMax]: 26 },
    });
  } catch (error) {
    throw new ThriftError(`cannot be decompressed (${error instanceof Error ? error.message : String(error)})`);
  }
  if (result.length !== length) throw new ThriftError('has a page that is not as long as it says');
  return result;
}

async function readBytes(file: FileHandle, start: number, length: number): Promise<Uint8Array> {
  const bytes = new Uint8Array(length);
  let done = 0;
  while (done < length) {
    const { bytesRead } = await file.read(bytes, done, length - done, start + done);
    if (bytesRead === 0) throw new ThriftError('is cut off');
    done += bytesRead;
  }
  return bytes;
}

async function readFooter(file: FileHandle, columns: readonly TableColumn[]): Promise<readonly Group[]> {
  const { size } = await file.stat();
  if (size < MAGIC.length + TAIL_BYTES) throw new ThriftError('is no Parquet file, or is cut off');
  const tail = Buffer.from(await readBytes(file, size - TAIL_BYTES, TAIL_BYTES));
  const head = Buffer.from(await readBytes(file, 0, MAGIC.length));
  if (tail.toString('latin1', 4) !== MAGIC || head.toString('latin1') !== MAGIC) {
    throw new ThriftError('is no Parquet file, or is cut off');
  }
  const length = tail.readUInt32LE(0);
  const end = size - TAIL_BYTES;
  if (length > end - MAGIC.length) throw new ThriftError('has a footer that is longer than the file');
  if (length > FOOTER_BYTES_MAX) throw new ThriftError(`has a footer of more than ${FOOTER_BYTES_MAX} bytes`);
  const groups = parseFooter(await readBytes(file, end - length, length), columns);
  for (const { chunks } of groups) {
    for (const { start, bytes } of chunks) {
      const inside = start >= MAGIC.length && bytes >= 0 && start + bytes <= end - length;
      if (!inside) throw new ThriftError('has a column outside of the file');
    }
    const stored = chunks.reduce((sum, { bytes }) => sum + bytes, 0);
    if (stored > GROUP_BYTES_MAX) throw new ThriftError(`has a row group of more than ${GROUP_BYTES_MAX} bytes`);
  }
  return groups;
}

/** The fields that this reader needs; it checks the schema, and takes the sizes as claims. */
function parseFooter(bytes: Uint8Array, columns: readonly TableColumn[]): readonly Group[] {
  const reader = new ThriftReader(bytes);
  const groups: Group[] = [];
  let schema = 0;
  let rows = -1;
  reader.struct({
    2: () =>
      reader.list(columns.length + 1, () => {
        parseElement(reader, columns, schema);
        schema += 1;
      }),
    3: () => (rows = reader.integer()),
    4: () => reader.list(GROUPS_MAX, () => groups.push(parseGroup(reader, columns))),
  });
  if (schema !== columns.length + 1) throw new ThriftError('has other columns than its table');
  if (groups.reduce((sum, group) => sum + group.rows, 0) !== rows) throw new ThriftError('has a wrong number of rows');
  return groups;
}

function parseElement(reader: ThriftReader, columns: readonly TableColumn[], index: number): void {
  const found = { type: NONE, repetition: NONE, name: '', children: NONE, converted: NONE };
  reader.struct({
    1: () => (found.type = reader.integer()),
    3: () => (found.repetition = reader.integer()),
    4: () => (found.name = reader.text()),
    5: () => (found.children = reader.integer()),
    6: () => (found.converted = reader.integer()),
  });
  const column = columns[index - 1];
  if (index === 0 || !column) return;
  if (found.name !== column.name) {
    throw new ThriftError(`has the column ${JSON.stringify(found.name)}, and not ${JSON.stringify(column.name)}`);
  }
  const { type, converted } = ELEMENTS[column.type];
  const same = found.type === type && found.converted === converted && found.repetition === OPTIONAL;
  if (!same || found.children !== NONE) throw new ThriftError(`has a column ${column.name} of another type`);
}

function parseGroup(reader: ThriftReader, columns: readonly TableColumn[]): Group {
  const chunks: Chunk[] = [];
  let rows = -1;
  reader.struct({
    1: () => reader.list(columns.length, () => chunks.push(parseChunk(reader))),
    3: () => (rows = reader.integer()),
  });
  if (rows < 1 || rows > GROUP_ROWS_MAX) {
    throw new ThriftError(`has a row group of ${rows} rows, and ${GROUP_ROWS_MAX} are allowed`);
  }
  if (chunks.length !== columns.length) throw new ThriftError('has other columns than its table');
  return { rows, chunks };
}

function parseChunk(reader: ThriftReader): Chunk {
  let [codec, bytes, dataStart, dictionaryStart] = [NONE, NONE, NONE, NONE];
  reader.struct({
    1: () => {
      throw new ThriftError('has a column in another file');
    },
    3: () =>
      reader.struct({
        4: () => (codec = reader.integer()),
        7: () => (bytes = reader.integer()),
        9: () => (dataStart = reader.integer()),
        11: () => (dictionaryStart = reader.integer()),
      }),
  });
  if (codec !== ZSTD) throw new ThriftError('is not compressed as gopherpay export compresses it');
  return { start: dictionaryStart === NONE ? dataStart : dictionaryStart, bytes };
}
