// The queue: how many transfers may wait, and how fast they leave. It counts transfers, not jobs: a place is taken before
// a transfer is stored and given back when it is final, so MAX_QUEUE=50 means that fifty are on their way at most.

export class Queue {
  /** How many transfers may be admitted and not yet final. */
  readonly maxQueue: number;
  readonly #now: () => number;
  #taken = 0;
  #rate = 0;
  #released = 0;
  #measuredFrom: number;

  /** `now` tells milliseconds on a clock that never goes back. */
  constructor(maxQueue: number, now: () => number = () => performance.now()) {
    this.maxQueue = maxQueue;
    this.#now = now;
    this.#measuredFrom = now();
  }

  /** Transfers that are admitted and not yet final. */
  get size(): number {
    return this.#taken;
  }

  get room(): number {
    return Math.max(0, this.maxQueue - this.#taken);
  }

  /** Takes `count` places, or none and answers false. */
  admit(count: number): boolean {
    if (count > this.room) return false;
    this.#taken += count;
    return true;
  }

  /** Takes places whether or not there is room: for transfers that are durable already. */
  admitAnyway(count: number): void {
    this.#taken += count;
  }

  /** Gives places back: of transfers that are final (`settled`), or that were never stored. */
  release(count: number, settled: boolean): void {
    this.#taken -= count;
    if (!settled) return;
    this.#released += count;
    const elapsedMs = this.#now() - this.#measuredFrom;
    if (elapsedMs < 1000) return;
    const rate = this.#released / (elapsedMs / 1000);
    // The mean of the last second and of what was known before: a pause is forgotten within a few seconds.
    this.#rate = this.#rate === 0 ? rate : (this.#rate + rate) / 2;
    this.#released = 0;
    this.#measuredFrom = this.#now();
  }

  /** Whole seconds until the queue should have drained at the measured rate: 1 to 60. */
  retryAfterSeconds(): number {
    if (this.#rate === 0) return 1;
    return Math.min(60, Math.max(1, Math.ceil(this.#taken / this.#rate)));
  }
}
