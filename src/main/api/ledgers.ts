// Finds the ledger that a path names. Ledgers are never renamed or deleted, so they are cached. Unknown names are
// looked up together, one statement at a time, so that a storm of invented names occupies one connection.
import type { ConnectionPool } from '../../db/connection/connect.ts';
import { LEDGERS_MAX, loadLedgers } from '../../db/ledger/ledgers.ts';
import { isLedgerName, type Ledger, MAIN_LEDGER } from '../../domain/ledger.ts';
import { Problem } from '../http/problem.ts';
import { tooBusyProblem } from './reads.ts';

/** Another process may create the ledger at any time, so a missing name is looked up again after this time. */
const MISSING_MS = 1000;
const MISSING_MAX = 10_000;
const WAITING_MAX = 1000;

export class LedgerRegistry {
  readonly #pool: ConnectionPool;
  readonly #knownMax: number;
  /** By name, in the order in which they were found. */
  readonly #known = new Map<string, Ledger>();
  /** Names that no ledger had when they were looked up, and how long that is assumed; the earliest first. */
  readonly #missing = new Map<string, number>();
  #waiting = new Map<string, PromiseWithResolvers<Ledger | null>>();
  #running = false;

  constructor(pool: ConnectionPool, { knownMax = LEDGERS_MAX }: { knownMax?: number } = {}) {
    this.#pool = pool;
    this.#knownMax = knownMax;
  }

  /** The ledger if it is cached. `main` always is. */
  recall(name: string): Ledger | undefined {
    return name === MAIN_LEDGER.name ? MAIN_LEDGER : this.#known.get(name);
  }

  /**
   * The ledger of a name. Throws ledger_not_found, too_busy if too many names are being looked up, or an error of the
   * database.
   */
  async find(name: string): Promise<Ledger> {
    const known = this.recall(name);
    if (known) return known;
    if (!isLedgerName(name) || (this.#missing.get(name) ?? 0) > performance.now()) throw ledgerNotFound();
    const ledger = await this.#ask(name);
    if (!ledger) throw ledgerNotFound();
    return ledger;
  }

  /** Caches a ledger, such as one that was just created. */
  remember(ledger: Ledger): void {
    this.#missing.delete(ledger.name);
    if (ledger.name === MAIN_LEDGER.name || this.#known.has(ledger.name)) return;
    this.#known.set(ledger.name, ledger);
    dropOldest(this.#known, this.#knownMax);
  }

  async #ask(name: string): Promise<Ledger | null> {
    const asked = this.#waiting.get(name);
    if (asked) return await asked.promise;
    if (this.#waiting.size >= WAITING_MAX) throw tooBusyProblem();
    const lookup = Promise.withResolvers<Ledger | null>();
    this.#waiting.set(name, lookup);
    if (!this.#running) void this.#run();
    return await lookup.promise;
  }

  async #run(): Promise<void> {
    this.#running = true;
    while (this.#waiting.size > 0) {
      const asked = this.#waiting;
      this.#waiting = new Map();
      try {
        const found = await loadLedgers(this.#pool, [...asked.keys()]);
        for (const ledger of found) {
          this.remember(ledger);
          asked.get(ledger.name)?.resolve(ledger);
          asked.delete(ledger.name);
        }
        for (const [name, { resolve }] of asked) {
          this.#miss(name);
          resolve(this.#known.get(name) ?? null);
        }
      } catch (error) {
        for (const { reject } of asked.values()) reject(error);
      }
    }
    this.#running = false;
  }

  #miss(name: string): void {
    // It may have been created here after the statement ran.
    if (this.#known.has(name)) return;
    this.#missing.delete(name);
    this.#missing.set(name, performance.now() + MISSING_MS);
    dropOldest(this.#missing, MISSING_MAX);
  }
}

export function ledgerNotFound(): Problem {
  return new Problem('ledger_not_found', 'There is no ledger with this name; GET /ledgers lists the existing ones.');
}

function dropOldest(map: Map<string, unknown>, sizeMax: number): void {
  for (const name of map.keys()) {
    if (map.size <= sizeMax) return;
    map.delete(name);
  }
}
