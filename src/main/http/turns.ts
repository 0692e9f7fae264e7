// Divides the event loop between ledgers. Without it, a loop iteration handles every request that has arrived, so a ledger
// with a thousand connections delays each request of the others by the time of a thousand.
import { Competitors, LEDGER_COMPETES_MS } from '../competitors.ts';

/** How many requests of all ledgers begin, and how many answers are sent, in one iteration of the event loop. */
const PER_ITERATION = 8;
/** The requests while there is only one ledger. While more of them begin, the report of a job waits for the event loop. */
const ALONE_REQUESTS = 16;
/** The answers while there is only one ledger: those of a whole INSERT of intake, so that the next one is full again. */
const ALONE_ANSWERS = 256;
/** For how long after a refusal turns are small: a storm of refusals must leave the processor to settling. */
const CROWDED_MS = 1000;

export class Turns {
  readonly #perIteration: number;
  readonly #aloneRequests: number;
  readonly #aloneAnswers: number;
  readonly #competitors: Competitors;
  readonly #now: () => number;
  #crowdedUntil = -Infinity;
  /** How many turns an iteration has now. */
  #limit: number;
  /** What waits, by ledger; the first ledger is next. */
  readonly #lines = new Map<string, (() => void)[]>();
  /** Turns that were taken without a wait in this iteration, and the ledgers that took them. */
  #taken = 0;
  readonly #ledgers = new Set<string>();
  #scheduled = false;

  constructor({
    perIteration = PER_ITERATION,
    aloneRequests = ALONE_REQUESTS,
    aloneAnswers = ALONE_ANSWERS,
    now = () => performance.now(),
    competitors = new Competitors(LEDGER_COMPETES_MS, now),
  } = {}) {
    this.#perIteration = perIteration;
    this.#aloneRequests = aloneRequests;
    this.#aloneAnswers = aloneAnswers;
    this.#competitors = competitors;
    this.#now = now;
    this.#limit = aloneRequests;
  }

  /** Takes a turn of a ledger. Null: it begins now. The first one of a ledger without a line never waits. */
  take(ledger: string, kind: 'request' | 'answer' = 'request'): Promise<void> | null {
    this.#schedule();
    const isFree = this.#competitors.isAlone(ledger) && this.#now() >= this.#crowdedUntil;
    this.#limit = isFree ? this.#aloneRequests : this.#perIteration;
    const isFirst = !this.#lines.has(ledger) && !this.#ledgers.has(ledger);
    const mayBegin =
      isFree && kind === 'answer'
        ? this.#taken < this.#aloneAnswers
        : this.#lines.size === 0 && this.#taken < this.#limit;
    if (isFirst || mayBegin) {
      this.#taken += 1;
      this.#ledgers.add(ledger);
      return null;
    }
    return new Promise((resolve) => {
      const line = this.#lines.get(ledger);
      if (line) line.push(resolve);
      else this.#lines.set(ledger, [resolve]);
    });
  }

  /** Notes that a request was refused because the service has too many. */
  crowd(): void {
    this.#crowdedUntil = this.#now() + CROWDED_MS;
  }

  /** Gives turns after the events of this iteration. What the next ones bring is then in its line before more are given. */
  #schedule(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    this.#taken = 0;
    this.#ledgers.clear();
    setImmediate(() => {
      this.#scheduled = false;
      this.#give();
    });
  }

  #give(): void {
    for (let given = 0; given < this.#limit; given += 1) {
      const [first] = this.#lines;
      if (!first) return;
      const [ledger, line] = first;
      line.shift()?.();
      // To the end of the line of ledgers.
      this.#lines.delete(ledger);
      if (line.length > 0) this.#lines.set(ledger, line);
    }
    if (this.#lines.size > 0) this.#schedule();
  }
}
