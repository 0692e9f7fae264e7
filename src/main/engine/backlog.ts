// The adopted transfers that are not final yet, by the lease that they came from and by ledger. It bounds how many wait
// behind a lock.
import type { PageBounds } from '../../db/ledger/leases.ts';
import type { QueuedUnit } from './queued-unit.ts';

/** How many pages of a ledger may be unsettled before the ledger is skipped. */
const PAGES_MAX = 4;

type Bounds = Pick<PageBounds, 'countMax' | 'bytesMax'>;
type Held = { readonly ledgerId: number; count: number; bytes: number };

export class Backlog {
  readonly #page: Bounds;
  readonly #onRoom: () => void;
  /** By lease, then by ledger. */
  readonly #held = new Map<string, Map<number, Held>>();

  /** `onRoom`: called when a ledger that was full has room again. */
  constructor(page: Bounds, onRoom: () => void) {
    this.#page = page;
    this.#onRoom = onRoom;
  }

  add(leaseId: string, units: readonly QueuedUnit[]): void {
    const ledgers = this.#held.get(leaseId) ?? new Map<number, Held>();
    this.#held.set(leaseId, ledgers);
    for (const queued of units) {
      const { id: ledgerId } = queued.unit.ledger;
      const held = ledgers.get(ledgerId) ?? { ledgerId, count: 0, bytes: 0 };
      ledgers.set(ledgerId, held);
      held.count += queued.size;
      held.bytes += queued.bytes;
      void queued.end(Infinity).then(() => this.#release(leaseId, held, queued));
    }
  }

  /** The ledgers of a lease that have no room for more. */
  fullLedgers(leaseId: string): number[] {
    const ledgers = this.#held.get(leaseId)?.values() ?? [];
    return [...ledgers].filter((held) => this.#isFull(held)).map(({ ledgerId }) => ledgerId);
  }

  #release(leaseId: string, held: Held, { size, bytes }: QueuedUnit): void {
    const wasFull = this.#isFull(held);
    held.count -= size;
    held.bytes -= bytes;
    const ledgers = this.#held.get(leaseId);
    if (held.count === 0) ledgers?.delete(held.ledgerId);
    if (ledgers?.size === 0) this.#held.delete(leaseId);
    if (wasFull && !this.#isFull(held)) this.#onRoom();
  }

  #isFull({ count, bytes }: Held): boolean {
    return count >= PAGES_MAX * this.#page.countMax || bytes >= PAGES_MAX * this.#page.bytesMax;
  }
}
