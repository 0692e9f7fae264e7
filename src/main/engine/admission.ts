// Admission: bounds the number and the bytes of transfers in progress, and measures how fast they leave. It counts
// transfers, not jobs: a transfer is admitted before anything is stored, and released when it is final. So MAX_QUEUE=50
// means that at most fifty are in progress. An account that is being opened counts as one transfer.

/**
 * Holds that are due, and transfers to other ledgers, are ended without room. Each kind takes at most this part of the
 * queue, so that the rest is for callers: also while all of them wait for a lock.
 */
const OWN_RATIO = 0.4;

/** From this part of the queue on, jobs begin without delay. */
const FILLING_RATIO = 0.25;

/** How long the queue must be busy for one measurement of its speed. */
const MEASURE_MS = 250;

export class Admission {
  /** How many transfers may be admitted and not yet final. */
  readonly maxQueue: number;
  /** How many bytes they may have together. */
  readonly maxQueueBytes: number;
  readonly #now: () => number;
  #taken = 0;
  #bytes = 0;
  /** Transfers that left per busy millisecond; 0 until the first measurement. */
  #rate = 0;
  #settled = 0;
  #busyMs = 0;
  #busySince = 0;

  /** `now` returns milliseconds of a monotonic clock. */
  constructor(maxQueue: number, bytesMax: number, now: () => number = () => performance.now()) {
    this.maxQueue = maxQueue;
    this.maxQueueBytes = bytesMax;
    this.#now = now;
  }

  /** Transfers that are admitted and not yet final. */
  get size(): number {
    return this.#taken;
  }

  /** The bytes of these transfers. */
  get bytes(): number {
    return this.#bytes;
  }

  /** How many transfers of one kind the service itself may have in progress, and their bytes. */
  get ownMax(): { readonly count: number; readonly bytes: number } {
    return { count: Math.max(1, Math.floor(this.maxQueue * OWN_RATIO)), bytes: this.maxQueueBytes * OWN_RATIO };
  }

  get room(): number {
    return this.#bytes >= this.maxQueueBytes ? 0 : Math.max(0, this.maxQueue - this.#taken);
  }

  /** Whether so much is in progress that the queue should empty soon. */
  get isFilling(): boolean {
    return this.#taken > this.maxQueue * FILLING_RATIO || this.#bytes > this.maxQueueBytes * FILLING_RATIO;
  }

  /** Admits `count` transfers of so many bytes together, or none and returns false. */
  tryAdmit(count: number, bytes: number): boolean {
    if (count > this.room) return false;
    // A request that does not fit is admitted to an empty queue: no request may be refused forever.
    if (this.#bytes > 0 && this.#bytes + bytes > this.maxQueueBytes) return false;
    this.admitRecovered(count, bytes);
    return true;
  }

  /** Admits transfers even if there is no room, because they are durable already. */
  admitRecovered(count: number, bytes: number): void {
    if (this.#taken === 0) this.#busySince = this.#now();
    this.#taken += count;
    this.#bytes += bytes;
  }

  /** Releases transfers that were not settled, or only the bytes of transfers that were. */
  release(count: number, bytes: number): void {
    this.#leave({ count, bytes, settled: 0 });
  }

  /** Releases settled transfers. Their number measures the speed of the queue. */
  releaseSettled(count: number, bytes = 0): void {
    this.#leave({ count, bytes, settled: count });
  }

  #leave({ count, bytes, settled }: { count: number; bytes: number; settled: number }): void {
    const now = this.#now();
    // Idle time does not count toward the rate.
    this.#busyMs += now - this.#busySince;
    this.#busySince = now;
    this.#taken -= count;
    this.#bytes -= bytes;
    this.#settled += settled;
    if (this.#busyMs < MEASURE_MS || this.#settled === 0) return;
    const rate = this.#settled / this.#busyMs;
    // The mean of this measurement and the previous value: a pause loses its effect within a few measurements.
    this.#rate = this.#rate === 0 ? rate : (this.#rate + rate) / 2;
    this.#settled = 0;
    this.#busyMs = 0;
  }

  /** Whole seconds until the queue should have drained at the measured rate: 1 to 60. */
  retryAfterSeconds(): number {
    if (this.#rate === 0) return 1;
    return Math.min(60, Math.max(1, Math.ceil(this.#taken / this.#rate / 1000)));
  }
}
