// The pages of a column of a Parquet file. Every count that they claim is compared with the rows of the group, and every length
// with the bytes that are there.
import type { TableColumn } from './table-form.ts';
import { ThriftError, ThriftReader } from './thrift.ts';

/** One cell for each row, as the text of a line has it; null if there is none. */
export type ColumnCells = readonly (string | null)[];

const DICTIONARY_PAGE = 2;
const DATA_PAGE_V2 = 3;
const PLAIN = 0;
const RLE = 3;
const RLE_DICTIONARY = 8;

type Page = {
  readonly type: number;
  /** Without and with compression. */
  readonly length: number;
  readonly stored: number;
  readonly values: number;
  readonly nulls: number;
  readonly encoding: number;
  readonly levels: number;
  /** Of the header. */
  readonly bytes: number;
};

type Options = {
  readonly type: TableColumn['type'];
  readonly rows: number;
  /** Must return exactly `length` bytes. */
  readonly decompress: (bytes: Uint8Array, length: number) => Uint8Array;
};

/** The cells of a column of a row group. */
export function decodePages(chunk: Uint8Array, { type, rows, decompress }: Options): ColumnCells {
  const cells: (string | null)[] = [];
  let dictionary: readonly string[] | null = null;
  let offset = 0;
  while (offset < chunk.length) {
    const page = parsePage(chunk.subarray(offset));
    const start = offset + page.bytes;
    offset = start + page.stored;
    if (offset > chunk.length) throw new ThriftError('has a page that is longer than its column');
    if (page.values > rows - cells.length) throw new ThriftError('has more values than rows');
    const stored = chunk.subarray(start + page.levels, offset);
    const bytes = stored.length === 0 ? stored : decompress(stored, page.length - page.levels);
    if (page.type === DICTIONARY_PAGE) {
      if (dictionary !== null || cells.length > 0 || page.encoding !== PLAIN) throw new ThriftError(NO_FORM);
      dictionary = decodePlain(bytes, type, page.values);
      continue;
    }
    const present = decodeLevels(chunk.subarray(start, start + page.levels), page);
    const values = decodeValues(bytes, { type, dictionary, page });
    let next = 0;
    for (const level of present) cells.push(level === 1 ? (values[next++] ?? null) : null);
  }
  if (cells.length !== rows) throw new ThriftError('has fewer values than rows');
  return cells;
}

const NO_FORM = 'has a page that gopherpay export does not write';

function parsePage(bytes: Uint8Array): Page {
  const reader = new ThriftReader(bytes);
  let [type, length, stored, values, nulls, encoding, levels, repetition] = [-1, -1, -1, -1, 0, -1, 0, 0];
  let compressed = true;
  reader.struct({
    1: () => (type = reader.integer()),
    2: () => (length = reader.integer()),
    3: () => (stored = reader.integer()),
    7: () => reader.struct({ 1: () => (values = reader.integer()), 2: () => (encoding = reader.integer()) }),
    8: () =>
      reader.struct({
        1: () => (values = reader.integer()),
        2: () => (nulls = reader.integer()),
        4: () => (encoding = reader.integer()),
        5: () => (levels = reader.integer()),
        6: () => (repetition = reader.integer()),
        7: () => (compressed = reader.boolean()),
      }),
  });
  const known = (type === DATA_PAGE_V2 || type === DICTIONARY_PAGE) && compressed && repetition === 0;
  const counts = [length, stored, values, nulls, levels];
  const sound = counts.every((count) => count >= 0) && nulls <= values && levels <= stored && levels <= length;
  if (!known || !sound) throw new ThriftError(NO_FORM);
  return { type, length, stored, values, nulls, encoding, levels, bytes: reader.offset };
}

/** For each value whether it is there: as many are as the page says. */
function decodeLevels(bytes: Uint8Array, { values, nulls }: Page): Uint32Array {
  const levels = decodeRuns(bytes, 1, values);
  if (levels.reduce((sum, level) => sum + level, 0) !== values - nulls) throw new ThriftError('has wrong levels');
  return levels;
}

function decodeValues(
  bytes: Uint8Array,
  { type, dictionary, page }: { type: Options['type']; dictionary: readonly string[] | null; page: Page },
): readonly string[] {
  const count = page.values - page.nulls;
  if (page.encoding === PLAIN) return decodePlain(bytes, type, count);
  if (page.encoding === RLE && type === 'boolean') {
    // The length of the runs precedes them.
    return [...decodeRuns(bytes.subarray(4), 1, count)].map((bit) => String(bit === 1));
  }
  if (page.encoding !== RLE_DICTIONARY || dictionary === null) throw new ThriftError(NO_FORM);
  const [width = 0] = bytes;
  if (width > 24) throw new ThriftError(NO_FORM);
  return Array.from(decodeRuns(bytes.subarray(1), width, count), (index) => {
    const value = dictionary[index];
    if (value === undefined) throw new ThriftError('has a value that is not in its dictionary');
    return value;
  });
}

/** Runs of a repeated value, and of values of `width` bits. */
function decodeRuns(bytes: Uint8Array, width: number, count: number): Uint32Array {
  const values = new Uint32Array(count);
  let [done, offset] = [0, 0];
  const take = (): number => {
    const byte = bytes[offset];
    if (byte === undefined) throw new ThriftError('has a page that is cut off');
    offset += 1;
    return byte;
  };
  while (done < count) {
    let head = 0;
    for (let factor = 1; ; factor *= 128) {
      const byte = take();
      head += (byte & 0x7f) * factor;
      if (byte < 128) break;
      if (factor > 2 ** 28) throw new ThriftError(NO_FORM);
    }
    const size = Math.floor(head / 2);
    if (size === 0) throw new ThriftError(NO_FORM);
    if (head % 2 === 0) {
      let value = 0;
      for (let shift = 0; shift < width; shift += 8) value |= take() << shift;
      const end = Math.min(count, done + size);
      values.fill(value, done, end);
      done = end;
      continue;
    }
    let [buffer, bits] = [0, 0];
    const end = Math.min(count, done + size * 8);
    for (; done < end; done += 1) {
      for (; bits < width; bits += 8) buffer |= take() << bits;
      values[done] = buffer & ((1 << width) - 1);
      buffer >>>= width;
      bits -= width;
    }
  }
  return values;
}

const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** Values one after the other. */
function decodePlain(bytes: Uint8Array, type: Options['type'], count: number): readonly string[] {
  if (type === 'text') return decodeTexts(bytes, count);
  const length = type === 'boolean' ? Math.ceil(count / 8) : count * 8;
  if (bytes.length !== length) throw new ThriftError('has a page that is not as long as its values');
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return Array.from({ length: count }, (_, index) => {
    if (type === 'boolean') return String(((bytes[index >> 3] ?? 0) & (1 << (index & 7))) !== 0);
    const value = view.getInt32(index * 8 + 4, true) * 2 ** 32 + view.getUint32(index * 8, true);
    return Number.isSafeInteger(value) ? String(value) : String(view.getBigInt64(index * 8, true));
  });
}

/** Each with its length before it. */
function decodeTexts(bytes: Uint8Array, count: number): readonly string[] {
  if (count * 4 > bytes.length) throw new ThriftError('has a page that is cut off');
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const texts: string[] = [];
  let offset = 0;
  for (let index = 0; index < count; index += 1) {
    const start = offset + 4;
    if (start > bytes.length) throw new ThriftError('has a page that is cut off');
    offset = start + view.getUint32(start - 4, true);
    if (offset > bytes.length) throw new ThriftError('has a text that is longer than its page');
    // A line leaves it out, like a cell that is not there: only one of the two is the form.
    if (offset === start) throw new ThriftError('has an empty text');
    try {
      texts.push(decoder.decode(bytes.subarray(start, offset)));
    } catch {
      throw new ThriftError('has a text that is not UTF-8');
    }
  }
  if (offset !== bytes.length) throw new ThriftError('has a page that is longer than its values');
  return texts;
}
