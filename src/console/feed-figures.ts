// What a page keeps of the feed: the newest transfers, and what was settled since it was last shown. All of it is
// bounded. Pure, so that tests need no browser: the caller has the clock, in milliseconds.
import type { JournalEvent, Transfer } from './wire.ts';

/** How many times to final are kept between two readings. Later ones do not count. */
const TIMES_MAX = 10_000;
/** For how many seconds a burst may be at the highest rate, such as one group of a thousand transfers. */
const BURST_SECONDS = 3;

/** What was settled in the shown ledger between two readings. */
export type FeedFigures = {
  /** Null: not known, because the page was not connected throughout. */
  readonly settledPerSecond: number | null;
  /** The times to final, in seconds and ascending. Null: not known. */
  readonly times: readonly number[] | null;
};

const UNKNOWN: FeedFigures = { settledPerSecond: null, times: null };

/** Counts what was settled between two readings. */
export class Tally {
  #isOpen = false;
  /** When the interval began. Null: what arrives now belongs to an earlier one. */
  #since: number | null = null;
  #settled = 0;
  #times: number[] = [];
  /** Where it is not counted but read. */
  #rate: number | null = null;

  /** A stream begins. `isResumed`: its first events may have been settled while there was none. */
  open(now: number, isResumed: boolean): void {
    this.#begin(isResumed ? null : now);
    this.#isOpen = true;
    this.#rate = null;
  }

  /** Nothing is known until the next stream or rate. */
  close(): void {
    this.#begin(null);
    this.#isOpen = false;
    this.#rate = null;
  }

  /** Takes a rate that was read. Null: not known yet. */
  setRate(rate: number | null): void {
    this.#rate = rate;
  }

  add({ settled_at: settledAt, transfers }: JournalEvent): void {
    this.#settled += transfers.length;
    const end = Date.parse(settledAt);
    for (const { created_at: createdAt } of transfers) {
      const seconds = (end - Date.parse(createdAt)) / 1000;
      // Where a ledger has a test clock, transfers have no age.
      if (seconds > 0 && this.#times.length < TIMES_MAX) this.#times.push(seconds);
    }
  }

  /** What was settled since the last call. */
  take(now: number): FeedFigures {
    if (this.#rate !== null) return { settledPerSecond: this.#rate, times: null };
    const [since, settled, times] = [this.#since, this.#settled, this.#times];
    this.#begin(this.#isOpen ? now : null);
    if (since === null || now <= since) return UNKNOWN;
    return {
      settledPerSecond: (settled * 1000) / (now - since),
      times: settled > 0 && times.length === 0 ? null : times.toSorted((one, other) => one - other),
    };
  }

  #begin(since: number | null): void {
    this.#since = since;
    this.#settled = 0;
    this.#times = [];
  }
}

/** Notices when more arrives than a rate allows, except in a short burst. */
export class RateLimit {
  readonly #perSecond: number;
  #left: number;
  #at: number;

  constructor(perSecond: number, now: number) {
    this.#perSecond = perSecond;
    this.#left = perSecond * BURST_SECONDS;
    this.#at = now;
  }

  /** Whether this many are within the limit. */
  admits(count: number, now: number): boolean {
    const earned = ((now - this.#at) / 1000) * this.#perSecond;
    this.#left = Math.min(this.#left + earned, this.#perSecond * BURST_SECONDS) - count;
    this.#at = now;
    return this.#left >= 0;
  }
}

/** The newest of two lists, the newest first. Where both have a transfer, the first list has its later state. */
export function newestOf(later: readonly Transfer[], earlier: readonly Transfer[], max: number): readonly Transfer[] {
  const known = new Set(later.map(({ id }) => id));
  const all = [...later, ...earlier.filter(({ id }) => !known.has(id))];
  return all.toSorted(byAge).slice(0, max);
}

/** Ids begin with the time too, so they order what was accepted in one millisecond, or by one test clock. */
function byAge(one: Transfer, other: Transfer): number {
  const difference = Date.parse(other.created_at) - Date.parse(one.created_at);
  return difference || (other.id > one.id ? 1 : -1);
}
