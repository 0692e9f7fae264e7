// A set of ids in bounded memory: 16 bytes for each, in a table that is at most three quarters full. More ids than it can
// hold are divided into parts, one for each reading.
import { randomBytes } from 'node:crypto';

/** The table then has 256 MB. */
const SLOTS_MAX = 2 ** 24;
const LOAD = 0.75;
const WORDS = 4;

export class IdSet {
  /** How many times the ids have to be read. */
  readonly parts: number;
  readonly #slots: number;
  readonly #table: Uint32Array;
  /** So that ids cannot be chosen to have one place. */
  readonly #seed = randomBytes(4).readUInt32LE() | 1;
  #part = 0;
  #size = 0;

  constructor(size: number, slotsMax = SLOTS_MAX) {
    const needed = 2 ** Math.ceil(Math.log2(Math.max(size, 1) / LOAD + 1));
    this.#slots = Math.min(needed, slotsMax);
    // The parts are not of one size: the table has room for twice the mean.
    this.parts = needed <= slotsMax ? 1 : Math.ceil(size / (slotsMax * LOAD)) + 1;
    this.#table = new Uint32Array(this.#slots * WORDS);
  }

  begin(part: number): void {
    this.#part = part;
    this.#size = 0;
    this.#table.fill(0);
  }

  /** Adds an id, a UUID, if it belongs to the part. The id of zeros is never known. */
  add(id: string): 'new' | 'known' | 'elsewhere' {
    const words = [
      id.slice(0, 8),
      id.slice(9, 13) + id.slice(14, 18),
      id.slice(19, 23) + id.slice(24, 28),
      id.slice(28),
    ];
    const numbers = words.map((word) => Number.parseInt(word, 16));
    let hash = this.#seed;
    for (const number of numbers) {
      hash = Math.imul(hash ^ number, 0x9e3779b1);
      hash ^= hash >>> 15;
    }
    hash = Math.imul(hash, 0x85ebca6b) >>> 0;
    if (this.parts > 1 && hash % this.parts !== this.#part) return 'elsewhere';
    for (let slot = Math.floor(hash / this.parts) % this.#slots; ; slot = (slot + 1) % this.#slots) {
      const at = slot * WORDS;
      if (numbers.every((number, index) => this.#table[at + index] === number)) return 'known';
      if (this.#table.subarray(at, at + WORDS).every((word) => word === 0)) {
        this.#size += 1;
        if (this.#size === this.#slots) throw new RangeError('There are more ids than were announced.');
        this.#table.set(numbers, at);
        return 'new';
      }
    }
  }
}
