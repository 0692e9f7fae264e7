// Writes tables as Parquet files, in row groups: memory is bounded by one group.
import { constants, zstdCompressSync } from 'node:zlib';
import { ParquetWriter } from 'hyparquet-writer';
import { fileWriter } from 'hyparquet-writer/src/node.js';

/** integer: 64 bits. instant: microseconds since 1970, in UTC. */
export type Column = { readonly name: string; readonly type: 'text' | 'integer' | 'boolean' | 'instant' };

type Cell = string | bigint | boolean | null;

/** A row group ends with this many rows, or characters. */
const ROWS_OF_GROUP = 20_000;
const LENGTH_OF_GROUP = 16 * 1024 * 1024;

const ELEMENTS = {
  text: { type: 'BYTE_ARRAY', converted_type: 'UTF8' },
  integer: { type: 'INT64' },
  boolean: { type: 'BOOLEAN' },
  instant: { type: 'INT64', converted_type: 'TIMESTAMP_MICROS' },
} as const;

export class ParquetTable {
  readonly #columns: readonly Column[];
  readonly #writer: ParquetWriter;
  #cells: Cell[][];
  #length = 0;

  /** `path`: a file that is written over. */
  constructor(path: string, columns: readonly Column[], createdBy: string) {
    this.#columns = columns;
    this.#cells = columns.map(() => []);
    this.#writer = new ParquetWriter({
      writer: fileWriter(path),
      schema: [
        { name: 'root', num_children: columns.length },
        ...columns.map(({ name, type }) => ({ name, repetition_type: 'OPTIONAL' as const, ...ELEMENTS[type] })),
      ],
      codec: 'ZSTD',
      compressors: { ZSTD: compress },
      createdBy,
    });
  }

  /** Adds a row. The cells are texts in the order of the columns; an empty one is null. */
  async add(cells: readonly (string | null)[]): Promise<void> {
    for (const [index, { type }] of this.#columns.entries()) {
      const text = cells[index] ?? '';
      this.#cells[index]?.push(toCell(type, text));
      this.#length += text.length;
    }
    if (this.#cells[0]?.length === ROWS_OF_GROUP || this.#length >= LENGTH_OF_GROUP) await this.#writeGroup();
  }

  async finish(): Promise<void> {
    await this.#writeGroup();
    await this.#writer.finish();
  }

  async #writeGroup(): Promise<void> {
    const cells = this.#cells;
    this.#cells = this.#columns.map(() => []);
    this.#length = 0;
    if (cells[0]?.length === 0) return;
    const columnData = this.#columns.map(({ name }, index) => ({ name, data: cells[index] ?? [], offsetIndex: false }));
    await this.#writer.write({ columnData, rowGroupSize: ROWS_OF_GROUP });
  }
}

function compress(bytes: Uint8Array): Uint8Array {
  return zstdCompressSync(bytes, { params: { [constants.ZSTD_c_compressionLevel]: 3 } });
}

function toCell(type: Column['type'], text: string): Cell {
  if (text === '') return null;
  switch (type) {
    case 'integer':
    case 'instant':
      return BigInt(text);
    case 'boolean':
      return text === 'true';
    case 'text':
      return text;
  }
}
