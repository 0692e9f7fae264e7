// The lease of this process, under which the transfers that it accepts are stored.
import { randomUUIDv7 } from 'node:crypto';
import type { Queryable } from '../../db/connection/connect.ts';
import { type HeldLease, openLease, renewLease } from '../../db/ledger/leases.ts';

export class Lease {
  #held: HeldLease = { id: randomUUIDv7(), session: 0 };
  #renewing: Promise<void> | null = null;
  /** Whether transfers that this process does not know of may be pending under its lease. */
  #inDoubt = false;
  #renewals = 0;

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

  /**
   * Begins a new session, or a new lease if the last one was closed. Called when a statement found that `lost` is no
   * longer held, or when the answer to a storing statement was lost. Afterwards, no earlier statement can store
   * anything, and all stored transfers are visible.
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

  async #renew(connection: Queryable): Promise<void> {
    this.#held = (await renewLease(connection, this.#held.id)) ?? (await openLease(connection, randomUUIDv7()));
    this.#renewals += 1;
  }
}
