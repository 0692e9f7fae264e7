// Divides the queue of transfers between callers, or between ledgers. A caller without competitors may fill it, because
// transfers become final within moments. While several callers compete, each is limited to its share, until the others
// have sent nothing for a while.
import { Competitors } from '../competitors.ts';
import { ratioOf } from '../shares.ts';

/** How long a caller counts as a competitor of the others after its last request. */
const CALLER_COMPETES_MS = 10_000;

export class AdmissionShares {
  readonly #queue: { readonly maxQueue: number; readonly size: number };
  readonly #ratio: number;
  readonly #competitors: Competitors;
  readonly #held = new Map<string, number>();

  /**
   * `percent`: how much one of two callers may hold; 100 sets no limit. `competesMs`: for how long a caller counts
   * after its last request. `now` returns milliseconds of a monotonic clock.
   */
  constructor(
    queue: { readonly maxQueue: number; readonly size: number },
    percent: number,
    now: () => number = () => performance.now(),
    competesMs = CALLER_COMPETES_MS,
  ) {
    this.#queue = queue;
    this.#ratio = ratioOf(percent);
    this.#competitors = new Competitors(competesMs, now);
  }

  /** Whether a caller is within its share of the queue. Counts it as a competitor of the others. */
  mayTake(caller: string): boolean {
    if (this.#competitors.isAlone(caller)) return true;
    const held = this.#held.get(caller) ?? 0;
    const free = Math.max(0, this.#queue.maxQueue - this.#queue.size);
    // Only a full queue refuses a caller that holds nothing.
    return held === 0 || (free > 0 && held < free * this.#ratio);
  }

  /** Records admitted transfers of a caller. */
  taken(caller: string, count: number): void {
    this.#held.set(caller, (this.#held.get(caller) ?? 0) + count);
  }

  /** Records that transfers of a caller have left the queue. */
  released(caller: string, count: number): void {
    const held = (this.#held.get(caller) ?? 0) - count;
    if (held > 0) this.#held.set(caller, held);
    else this.#held.delete(caller);
  }

  /** How much each caller holds. */
  held(): Iterable<readonly [caller: string, count: number]> {
    return this.#held;
  }
}
