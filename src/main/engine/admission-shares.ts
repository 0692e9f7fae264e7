// Divides the queue of transfers between callers, or between ledgers. A caller without competitors may fill it, because transfers become final within
// moments. While several callers compete, each is limited to its share, until the others have sent nothing for a while.
import { ratioOf } from '../shares.ts';

/** How long a caller counts as a competitor of the others after its last request. */
const CALLER_COMPETES_MS = 10_000;
/** The same of a ledger: a flooded ledger that waits for a lock must not fill the queue, so that nothing can compete. */
export const LEDGER_COMPETES_MS = 3_600_000;

type Admitted = { readonly caller: string; count: number };

export class AdmissionShares {
  readonly #queue: { readonly maxQueue: number; readonly size: number };
  readonly #ratio: number;
  readonly #competesMs: number;
  readonly #now: () => number;
  /**
   * Admitted transfers, oldest first. They become final in about this order, so the rest of the queue belongs to the newest: no transfer
   * has to remember its caller.
   */
  readonly #admitted: Admitted[] = [];
  readonly #held = new Map<string, number>();
  /** When each caller last sent a request, in that order. */
  readonly #asked = new Map<string, number>();
  #total = 0;

  /**
   * `percent`: how much one of two callers may hold; 100 sets no limit. `competesMs`: for how long a caller counts after its last request.
   * `now` returns milliseconds of a monotonic clock.
   */
  constructor(
    queue: { readonly maxQueue: number; readonly size: number },
    percent: number,
    now: () => number = () => performance.now(),
    competesMs = CALLER_COMPETES_MS,
  ) {
    this.#queue = queue;
    this.#ratio = ratioOf(percent);
    this.#now = now;
    this.#competesMs = competesMs;
  }

  /** Whether a caller is within its share of the queue. Counts it as a competitor of the others. */
  mayTake(caller: string): boolean {
    this.#forgetFinal();
    if (this.#isAlone(caller)) return true;
    const held = this.#held.get(caller) ?? 0;
    const free = Math.max(0, this.#queue.maxQueue - this.#queue.size);
    // Only a full queue refuses a caller that holds nothing.
    return held === 0 || (free > 0 && held < free * this.#ratio);
  }

  /** Records admitted transfers of a caller. */
  taken(caller: string, count: number): void {
    const newest = this.#admitted.at(-1);
    if (newest?.caller === caller) newest.count += count;
    else this.#admitted.push({ caller, count });
    this.#change(caller, count);
  }

  #forgetFinal(): void {
    let surplus = this.#total - this.#queue.size;
    let [oldest] = this.#admitted;
    while (oldest !== undefined && surplus > 0) {
      const count = Math.min(surplus, oldest.count);
      surplus -= count;
      oldest.count -= count;
      this.#change(oldest.caller, -count);
      if (oldest.count === 0) this.#admitted.shift();
      [oldest] = this.#admitted;
    }
  }

  #change(caller: string, count: number): void {
    this.#total += count;
    const held = (this.#held.get(caller) ?? 0) + count;
    if (held > 0) this.#held.set(caller, held);
    else this.#held.delete(caller);
  }

  #isAlone(caller: string): boolean {
    const now = this.#now();
    this.#asked.delete(caller);
    this.#asked.set(caller, now);
    for (const [other, askedAt] of this.#asked) {
      if (now - askedAt < this.#competesMs) break;
      this.#asked.delete(other);
    }
    return this.#asked.size === 1;
  }
}
