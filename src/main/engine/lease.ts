// The lease of this process, under which the transfers that it accepts are stored.
import { randomUUIDv7 } from 'node:crypto';
import type { Queryable } from '../../db/connection/connect.ts';
import { enterLedger, fenceLease, type HeldLease, openLease, renewLease } from '../../db/ledger/leases.ts';
import type { Ledger } from '../../domain/ledger.ts';

export class Lease {
  #held: HeldLease = { id: randomUUIDv7(), session: 0 };
  #renewing: Promise<void> | null = null;
  /** Whether transfers that this process does not know of may be pending under its lease. */
  #inDoubt = false;
  #renewals = 0;
  /** The ledgers that the current session has entered. */
  readonly #entered = new Set<number>();

  /** The current lease. Its id changes when another process has closed it, its session with every renewal. */
  get held(): HeldLease {
    return this.#held;
  }

  /** How often it was renewed. */
  get renewals(): number {
    return this.#renewals;
  }

  async open(connection: Queryable): Promise<void> {
    this.#held = await openLease(connection, randomUUIDv7());
  }

  /** Lets `held` store transfers of a ledger, once. False if it is no longer held. */
  async enter(connection: Queryable, ledger: Ledger, held: HeldLease): Promise<boolean> {
    if (this.#held === held && this.#entered.has(ledger.id)) return true;
    if (!(await enterLedger(connection, ledger, held))) return false;
    if (this.#held === held) this.#entered.add(ledger.id);
    return true;
  }

  /**
   * Begins a new session, or a new lease if the last one was closed. Called when a statement found that `lost` is no
   * longer held, or when the answer to a storing statement was lost. In a ledger that it enters afterwards, no earlier
   * statement can store anything, and all stored transfers are visible.
   */
  async renew(connection: Queryable, lost: HeldLease): Promise<void> {
    if (this.#held !== lost) return;
    // One renewal for all callers that lost the same session.
    this.#renewing ??= this.#renew(connection).finally(() => {
      this.#renewing = null;
    });
    await this.#renewing;
  }

  /** Returns whether there is a suspicion, and clears it: the caller must resolve it. */
  takeSuspicion(): boolean {
    const inDoubt = this.#inDoubt;
    this.#inDoubt = false;
    return inDoubt;
  }

  /**
   * An answer was lost: recovery must compare the transfers pending under the lease with those that this process knows
   * of.
   */
  suspect(): void {
    this.#inDoubt = true;
  }

  /** Afterwards, no statement of an earlier session can store anything in any ledger. */
  async fence(connection: Queryable): Promise<void> {
    await fenceLease(connection, this.#held);
  }

  async #renew(connection: Queryable): Promise<void> {
    const renewed = await renewLease(connection, this.#held.id);
    this.#entered.clear();
    this.#held = renewed ?? (await openLease(connection, randomUUIDv7()));
    this.#renewals += 1;
  }
}
