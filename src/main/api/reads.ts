// Reads of one kind: a pool of connections with a fair queue, in which callers take turns. A caller with a thousand
// requests delays only itself: the single request of another caller is next.
import type { ConnectionPool } from '../../db/connection/connect.ts';
import { isCanceled } from '../../db/connection/errors.ts';
import { Problem } from '../http/problem.ts';
import type { Engine } from '../engine/engine.ts';

/** How many requests of one caller may wait in a queue. */
const WAITING_MAX = 1000;

/** How a caller can narrow a list, for filter_too_wide and query_too_slow. */
export const FILTER_ADVICE =
  'Narrow the list by `account`, a recent `since`, `metadata=key:value`, `request_id`, `group_id`, `parent_id` or `status=pending`.';

type Waiter = { readonly start: () => void };

export class Reads {
  readonly #pool: ConnectionPool;
  readonly #runningMax: number;
  readonly #waitTimeoutMs: number;
  readonly #advice: string | null;
  /** The callers in the order of their turns, each with its requests in the order of arrival. */
  readonly #line = new Map<string, Waiter[]>();
  #running = 0;

  /**
   * `waitTimeoutMs`: how long a request may wait for its turn. `advice`: how a caller can avoid a statement that takes
   * too long; null if only a fault of the database can be the cause.
   */
  constructor(options: { pool: ConnectionPool; runningMax: number; waitTimeoutMs: number; advice: string | null }) {
    this.#advice = options.advice;
    this.#pool = options.pool;
    this.#runningMax = options.runningMax;
    this.#waitTimeoutMs = options.waitTimeoutMs;
  }

  /**
   * Runs `work` at the caller's turn. Throws too_busy if the turn comes too late, and, with `advice`, query_too_slow
   * for a slow statement.
   */
  async run<Result>(caller: string, work: (pool: ConnectionPool) => Promise<Result>): Promise<Result> {
    if (this.#running < this.#runningMax) this.#running += 1;
    else await this.#waitForTurn(caller);
    try {
      return await work(this.#pool);
    } catch (error) {
      if (this.#advice === null || !isCanceled(error)) throw error;
      throw new Problem('query_too_slow', `The query reads too many rows. ${this.#advice}`, {
        headers: { 'Retry-After': '5' },
      });
    } finally {
      // The turn passes to the next request, so that a request that arrives now does not overtake the waiting ones.
      const next = this.#takeNext();
      if (next) next.start();
      else this.#running -= 1;
    }
  }

  async #waitForTurn(caller: string): Promise<void> {
    const waiting = this.#line.get(caller) ?? [];
    if (waiting.length >= WAITING_MAX) throw tooBusyProblem();
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const waiter = { start: resolve };
    waiting.push(waiter);
    this.#line.set(caller, waiting);
    const timer = setTimeout(() => {
      this.#leave(caller, waiter);
      reject(tooBusyProblem());
    }, this.#waitTimeoutMs);
    await promise.finally(() => clearTimeout(timer));
  }

  #takeNext(): Waiter | undefined {
    const [first] = this.#line;
    if (!first) return undefined;
    const [caller, waiting] = first;
    const waiter = waiting.shift();
    this.#line.delete(caller);
    if (waiting.length > 0) this.#line.set(caller, waiting);
    return waiter;
  }

  #leave(caller: string, waiter: Waiter): void {
    const others = (this.#line.get(caller) ?? []).filter((each) => each !== waiter);
    if (others.length === 0) this.#line.delete(caller);
    else this.#line.set(caller, others);
  }
}

/** What handlers of the books need: the engine, and their turns to read. */
export type Services = {
  readonly engine: Engine;
  /** Reads of one account, transfer or hold. */
  lookUps: Reads;
  /** Lists, which may read many rows that do not match. */
  scans: Reads;
  /** For changes of accounts, which may wait for locks. */
  changes: Reads;
  /** Above which amount a ledger's funding and overdraft limits need an approval; null: none does. */
  readonly approvalAbove: (ledgerId: number) => bigint | null;
};

/** 503: other requests use all connections; nothing was stored. */
export function tooBusyProblem(): Problem {
  return new Problem(
    'too_busy',
    'All database connections for this kind of request are in use; nothing was stored. Try again.',
    {
      headers: { 'Retry-After': '1' },
    },
  );
}
