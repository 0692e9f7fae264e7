// Whether a caller, or a ledger, competes with others for a resource: rules that divide it then apply.

/**
 * How long a ledger competes after its last request. A flooded ledger that waits for a lock must not fill the queue, or
 * no other ledger could compete.
 */
export const LEDGER_COMPETES_MS = 3_600_000;

export class Competitors {
  readonly #competesMs: number;
  readonly #now: () => number;
  /** When each one last asked, in that order. */
  readonly #asked = new Map<string, number>();

  /** `competesMs`: for how long one counts after it asked. `now` returns milliseconds of a monotonic clock. */
  constructor(competesMs: number, now: () => number = () => performance.now()) {
    this.#competesMs = competesMs;
    this.#now = now;
  }

  /** Counts one that asks, and returns whether no other has asked for a while. */
  isAlone(name: string): boolean {
    const now = this.#now();
    const isOnly = this.#asked.size === 1 && this.#asked.has(name);
    if (!isOnly) this.#asked.delete(name);
    this.#asked.set(name, now);
    if (isOnly) return true;
    for (const [other, askedAt] of this.#asked) {
      if (now - askedAt < this.#competesMs) break;
      this.#asked.delete(other);
    }
    return this.#asked.size === 1;
  }
}
