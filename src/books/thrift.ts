// Reads the compact form of Thrift, in which Parquet has its headers. It builds nothing but what is asked for, so that bytes of
// any content take no memory.

const TRUE = 1;
const FALSE = 2;
const BYTE = 3;
const I16 = 4;
const I32 = 5;
const I64 = 6;
const DOUBLE = 7;
const BINARY = 8;
const LIST = 9;
const STRUCT = 12;

/** Deeper than any header of Parquet. */
const DEPTH_MAX = 16;

/** The bytes are not what they should be. Its message completes the sentence "The file …". */
export class ThriftError extends Error {}

/** What to do with a field of a struct: each handler reads its value. */
export type Fields = Readonly<Record<number, () => void>>;

export class ThriftReader {
  offset = 0;
  readonly #bytes: Uint8Array;
  #depth = 0;
  /** The type of the value that comes next. */
  #type = STRUCT;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  /** Reads a struct; fields without a handler are skipped. */
  struct(fields: Fields): void {
    this.#expect(STRUCT);
    this.#nest();
    let id = 0;
    for (let head = this.#byte(); head !== 0; head = this.#byte()) {
      const delta = head >> 4;
      id = delta === 0 ? this.#zigzag() : id + delta;
      this.#type = head & 0x0f;
      const handler = fields[id];
      if (handler) handler();
      else this.#skip();
    }
    this.#depth -= 1;
  }

  /** Reads a list of at most `max` values. */
  list(max: number, value: () => void): void {
    this.#expect(LIST);
    this.#nest();
    const { type, size } = this.#listHead();
    if (size > max) throw new ThriftError(`has a list of ${size} values, and ${max} are allowed`);
    for (let index = 0; index < size; index += 1) {
      this.#type = type;
      value();
    }
    this.#depth -= 1;
  }

  integer(): number {
    if (this.#type !== I32 && this.#type !== I64 && this.#type !== I16)
      throw new ThriftError('has a header of no form');
    return this.#zigzag();
  }

  boolean(): boolean {
    if (this.#type !== TRUE && this.#type !== FALSE) throw new ThriftError('has a header of no form');
    return this.#type === TRUE;
  }

  text(): string {
    this.#expect(BINARY);
    return Buffer.from(this.#binary()).toString();
  }

  #expect(type: number): void {
    if (this.#type !== type) throw new ThriftError('has a header of no form');
  }

  #nest(): void {
    this.#depth += 1;
    if (this.#depth > DEPTH_MAX) throw new ThriftError('has a header that is nested deeply');
  }

  #skip(): void {
    switch (this.#type) {
      case TRUE:
      case FALSE:
        break;
      case BYTE:
        this.offset += 1;
        break;
      case I16:
      case I32:
      case I64:
        this.#varint();
        break;
      case DOUBLE:
        this.offset += 8;
        break;
      case BINARY:
        this.#binary();
        break;
      case LIST:
        this.#skipList();
        break;
      case STRUCT:
        this.struct({});
        break;
      default:
        throw new ThriftError('has a header of no form');
    }
  }

  #skipList(): void {
    this.#nest();
    const { type, size } = this.#listHead();
    for (let index = 0; index < size; index += 1) {
      // In a list, a truth value has a byte of its own.
      this.#type = type === TRUE || type === FALSE ? BYTE : type;
      this.#skip();
    }
    this.#depth -= 1;
  }

  #listHead(): { readonly type: number; readonly size: number } {
    const head = this.#byte();
    const short = head >> 4;
    const size = short === 15 ? this.#varint() : short;
    // Each value takes a byte or more.
    if (size > this.#bytes.length - this.offset) throw new ThriftError('has a list that is longer than the file');
    return { type: head & 0x0f, size };
  }

  #binary(): Uint8Array {
    const length = this.#varint();
    const start = this.offset;
    if (length > this.#bytes.length - start) throw new ThriftError('has a text that is longer than the file');
    this.offset = start + length;
    return this.#bytes.subarray(start, this.offset);
  }

  #zigzag(): number {
    const value = this.#varint();
    return value % 2 === 0 ? value / 2 : -(value + 1) / 2;
  }

  #varint(): number {
    let result = 0;
    for (let factor = 1; factor < 2 ** 70; factor *= 128) {
      const byte = this.#byte();
      result += (byte & 0x7f) * factor;
      if (byte < 128) return result;
    }
    throw new ThriftError('has a number that is too long');
  }

  #byte(): number {
    const byte = this.#bytes[this.offset];
    if (byte === undefined) throw new ThriftError('has a header that is cut off');
    this.offset += 1;
    return byte;
  }
}
