// The reader of Parquet files believes no count: a file that claims more than it has is refused, in bounded memory.
import assert from 'node:assert/strict';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { zstdCompressSync } from 'node:zlib';
import { ParquetWriter } from 'hyparquet-writer';
import { fileWriter } from 'hyparquet-writer/src/node.js';
import { readParquet } from '../../src/books/parquet.ts';
import { decodePages } from '../../src/books/parquet-pages.ts';
import type { TableColumn } from '../../src/books/table-form.ts';
import { ThriftError, ThriftReader } from '../../src/books/thrift.ts';
import { ParquetTable } from '../../src/render/parquet.ts';
import { makeFolder } from '../support/service.ts';

const TEXT: readonly TableColumn[] = [{ name: 'text', type: 'text' }];
const LARGEST = 2 ** 31 - 1;

function varint(value: number): number[] {
  const bytes: number[] = [];
  for (let rest = value; ; rest = Math.floor(rest / 128)) {
    if (rest < 128) return [...bytes, rest];
    bytes.push((rest % 128) + 128);
  }
}

/** Fields 1 to n of a struct in the compact form; null: left out. */
function struct(...fields: (number | readonly number[] | null)[]): number[] {
  let last = 0;
  const bytes = fields.flatMap((field, index) => {
    if (field === null) return [];
    const delta = index + 1 - last;
    last = index + 1;
    if (typeof field === 'number') return [(delta << 4) | 5, ...varint(field < 0 ? -field * 2 - 1 : field * 2)];
    return [(delta << 4) | 12, ...field];
  });
  return [...bytes, 0];
}

type Claims = { length?: number; stored?: number; values?: number; nulls?: number; encoding?: number; levels?: number };

/** A data page with these claims, and these bytes of levels and of values. */
function dataPage(levels: number[], body: Uint8Array, claims: Claims = {}): Uint8Array {
  const page = {
    length: levels.length + 4,
    stored: levels.length + body.length,
    values: 1,
    nulls: 0,
    encoding: 0,
    levels: levels.length,
    ...claims,
  };
  const v2 = struct(page.values, page.nulls, page.values, page.encoding, page.levels, 0);
  const header = struct(3, page.length, page.stored, null, null, null, null, v2);
  return Uint8Array.from([...header, ...levels, ...body]);
}

function decode(chunk: Uint8Array, rows: number, type: TableColumn['type'] = 'text'): readonly (string | null)[] {
  const decompress = (bytes: Uint8Array, length: number): Uint8Array => {
    if (length > 1000) throw new ThriftError(`has a page of ${length} bytes`);
    return bytes;
  };
  return decodePages(chunk, { type, rows, decompress });
}

const ONE = Uint8Array.from([1, 0, 0, 0, 97]);
const PRESENT = [2, 1];

test('parquet: a page is refused if it claims more than it has', () => {
  assert.deepEqual(decode(dataPage(PRESENT, ONE), 1), ['a']);
  const wrong: [Uint8Array, RegExp][] = [
    [dataPage(PRESENT, ONE, { values: LARGEST }), /more values than rows/],
    [dataPage(PRESENT, ONE, { values: 0 }), /longer than its values/],
    [dataPage(PRESENT, ONE, { length: LARGEST }), /has a page of 2147483645 bytes/],
    [dataPage(PRESENT, ONE, { stored: LARGEST }), /longer than its column/],
    [dataPage(PRESENT, ONE, { stored: -1 }), /does not write/],
    [dataPage(PRESENT, ONE, { nulls: LARGEST }), /does not write/],
    [dataPage(PRESENT, ONE, { nulls: 1 }), /wrong levels/],
    [dataPage(PRESENT, ONE, { levels: LARGEST }), /does not write/],
    [dataPage(PRESENT, ONE, { encoding: 6 }), /does not write/],
    [dataPage(PRESENT, ONE, { encoding: 8 }), /does not write/],
    [dataPage([], ONE), /cut off/],
    [dataPage(PRESENT, Uint8Array.from([255, 255, 255, 255, 97])), /text that is longer than its page/],
    [dataPage(PRESENT, Uint8Array.from([1, 0, 0, 0, 255])), /not UTF-8/],
    [dataPage(PRESENT, Uint8Array.from([0, 0, 0, 0])), /empty text/],
    [dataPage(PRESENT, Uint8Array.from([...ONE, 0])), /longer than its values/],
    [new Uint8Array(0), /fewer values than rows/],
    [Uint8Array.from([...dataPage(PRESENT, ONE), ...dataPage(PRESENT, ONE)]), /more values than rows/],
  ];
  for (const [chunk, message] of wrong) assert.throws(() => decode(chunk, 1), { constructor: ThriftError, message });
  assert.throws(() => decode(dataPage(PRESENT, ONE), 1, 'integer'), /not as long as its values/);
});

test('parquet: a run that claims billions of values gives as many as there are rows', () => {
  const run = [...varint(LARGEST * 2), 1];
  const body = Uint8Array.from(Array.from({ length: 10 }, () => [...ONE]).flat());
  assert.deepEqual(
    decode(dataPage(run, body, { values: 10 }), 10),
    Array.from({ length: 10 }, () => 'a'),
  );
  const packed = [...varint(LARGEST * 2 + 1), 255];
  assert.throws(() => decode(dataPage(packed, body, { values: 10 }), 10), /cut off/);
  assert.throws(() => decode(dataPage([0, 1], ONE), 1), /does not write/);
  assert.throws(
    () =>
      decode(
        dataPage(
          Array.from({ length: 20 }, () => 255),
          ONE,
        ),
        1,
      ),
    /does not write/,
  );
});

test('parquet: a header of any bytes is refused before it takes memory', () => {
  const read = (bytes: readonly number[]) => new ThriftReader(Uint8Array.from(bytes)).struct({});
  const wrong: [readonly number[], RegExp][] = [
    [[], /cut off/],
    [[0x19, 0xfc, ...varint(LARGEST)], /list that is longer than the file/],
    [[0x18, ...varint(LARGEST)], /text that is longer than the file/],
    [[0x15, ...Array.from({ length: 20 }, () => 255)], /number that is too long/],
    [[0x1a], /no form/],
    [Array.from({ length: 100_000 }, () => 0x1c), /nested deeply/],
    [[0x19, ...Array.from({ length: 100_000 }, () => 0x19)], /nested deeply/],
  ];
  for (const [bytes, message] of wrong) assert.throws(() => read(bytes), { constructor: ThriftError, message });
  const reader = new ThriftReader(Uint8Array.from([0x19, 0x35, 2, 2, 2, 0]));
  assert.throws(
    () => reader.struct({ 1: () => reader.list(2, () => reader.integer()) }),
    /3 values, and 2 are allowed/,
  );
});

async function refuses(path: string, message: RegExp): Promise<void> {
  await assert.rejects(
    async () => {
      for await (const _ of readParquet(path, TEXT, new AbortController().signal));
    },
    { constructor: ThriftError, message },
  );
}

async function pathOf(t: TestContext): Promise<string> {
  return join(await makeFolder(t), 'text.parquet');
}

/** A file whose pages the function compresses. */
function writeForeign(
  path: string,
  data: readonly string[],
  compress: ((bytes: Uint8Array) => Uint8Array) | null,
): void {
  const writer = new ParquetWriter({
    writer: fileWriter(path),
    schema: [
      { name: 'root', num_children: 1 },
      { name: 'text', repetition_type: 'OPTIONAL', type: 'BYTE_ARRAY', converted_type: 'UTF8' },
    ],
    ...(compress && { codec: 'ZSTD' as const, compressors: { ZSTD: compress } }),
  });
  void writer.write({ columnData: [{ name: 'text', data: [...data] }], rowGroupSize: data.length });
  void writer.finish();
}

test('parquet: a file with huge row groups or pages, or of another compression, is refused', async (t) => {
  const path = await pathOf(t);
  writeForeign(path, ['a'], null);
  await refuses(path, /^is not compressed as gopherpay export compresses it$/);
  writeForeign(
    path,
    Array.from({ length: 70_000 }, () => 'a'),
    zstdCompressSync,
  );
  await refuses(path, /^has a row group of 70000 rows, and 65536 are allowed$/);
  writeForeign(path, ['a'], () => zstdCompressSync(Buffer.alloc(300_000_000)));
  await refuses(path, /^cannot be decompressed \(Cannot create a Buffer larger than 5 bytes\)$/);
  writeForeign(path, ['a'], () => zstdCompressSync(Buffer.alloc(1)));
  await refuses(path, /^has a page that is not as long as it says$/);
  writeForeign(path, ['a'], (bytes) => bytes);
  await refuses(path, /^cannot be decompressed/);
  writeForeign(path, ['a'.repeat(70_000_000)], zstdCompressSync);
  await refuses(path, /^has a row group of more than 67108864 bytes$/);
});

test('parquet: a footer that claims to be longer than the file is refused', async (t) => {
  const path = await pathOf(t);
  const table = new ParquetTable(path, TEXT, 'test');
  await table.add(['a']);
  await table.finish();
  const bytes = await readFile(path);
  for (const length of [0xffff_ffff, bytes.length]) {
    bytes.writeUInt32LE(length, bytes.length - 8);
    await writeFile(path, bytes);
    await refuses(path, /^has a footer that is longer than the file$/);
  }
  bytes.writeUInt32LE(0, bytes.length - 8);
  await writeFile(path, bytes);
  await refuses(path, /^has a header that is cut off$/);
});
