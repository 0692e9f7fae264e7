// The lease of this process: what it accepts is stored under it.
import { randomUUIDv7 } from 'node:crypto';
import type { Queryable } from '../db/connect.ts';
import { type HeldLease, openLease, renewLease } from '../db/leases.ts';

export class Lease {
  #held: HeldLease = { id: randomUUIDv7(), session: 0 };
  #renewing: Promise<void> | null = null;
  /** Whether transfers may be pending under the lease that this process does not know of. */
  #inDoubt = false;

  /** The lease as it is held now. Its id changes when another process closed it, its session with every renewal. */
  get held(): HeldLease {
    return this.#held;
  }

  /** Registers the lease. */
  async open(connection: Queryable): Promise<void> {
    this.#held = await openLease(connection, randomUUIDv7());
  }

  /**
   * Begins a new session, or a new lease if the one of the last session was closed. To be called when a statement found
   * `lost` no longer held, or when the answer to one that stored something was lost: after it, nothing that was sent before
   * can be stored any more, and what was stored is visible.
   */
  async renew(connection: Queryable, lost: HeldLease): Promise<void> {
    if (this.#held !== lost) return;
    // One renewal for all that lost the same session.
    this.#renewing ??= this.#renew(connection).finally(() => {
      this.#renewing = null;
    });
    await this.#renewing;
  }

  /** Whether there is a doubt, which the caller then has to resolve. */
  takeDoubt(): boolean {
    const inDoubt = this.#inDoubt;
    this.#inDoubt = false;
    return inDoubt;
  }

  /** An answer was lost: what is pending under the lease has to be compared with what this process knows of. */
  doubt(): void {
    this.#inDoubt = true;
  }

  async #renew(connection: Queryable): Promise<void> {
    this.#held = (await renewLease(connection, this.#held.id)) ?? (await openLease(connection, randomUUIDv7()));
  }
}
