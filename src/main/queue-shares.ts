// Divides the places in the queue of transfers between callers. A caller without competitors may take all of them: places come free
// within moments. When another one asks, each keeps to its share until nobody else has asked for a while.
import { ratioOf } from './shares.ts';

/** How long a caller that asked for places counts as a competitor of the others. */
const COMPETES_MS = 10_000;

type Admitted = { readonly caller: string; count: number };

export class QueueShares {
  readonly #queue: { readonly maxQueue: number; readonly size: number };
  readonly #ratio: number;
  readonly #now: () => number;
  /**
   * What was admitted, oldest first. Transfers become final about in this order, so what is left of the queue belongs to the newest: no
   * transfer has to remember its caller.
   */
  readonly #admitted: Admitted[] = [];
  readonly #held = new Map<string, number>();
  /** When each caller last asked, in that order. */
  readonly #asked = new Map<string, number>();
  #total = 0;

  /** `percent` is what one of two callers may hold; 100 sets no limit. `now` tells milliseconds on a clock that never goes back. */
  constructor(
    queue: { readonly maxQueue: number; readonly size: number },
    percent: number,
    now: () => number = () => performance.now(),
  ) {
    this.#queue = queue;
    this.#ratio = ratioOf(percent);
    this.#now = now;
  }

  /** Whether a caller is within its share of the queue. Counts it as a competitor of the others. */
  mayTake(caller: string): boolean {
    this.#forgetFinal();
    if (this.#isAlone(caller)) return true;
    const held = this.#held.get(caller) ?? 0;
    const free = Math.max(0, this.#queue.maxQueue - this.#queue.size);
    // A caller that holds nothing is refused by a full queue only.
    return held === 0 || (free > 0 && held < free * this.#ratio);
  }

  /** Records places that a caller got. */
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
      if (now - askedAt < COMPETES_MS) break;
      this.#asked.delete(other);
    }
    return this.#asked.size === 1;
  }
}
