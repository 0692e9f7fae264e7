// What ordered the transfers that were settled last, so that their deliveries are linked to it: in bounded memory, and only of
// requests that are sampled.
import type { Trace } from '../tracer.ts';

/** With about 300 bytes each. */
export const TRANSFERS_REMEMBERED = 8192;

export class RecentRequests {
  readonly #traces = new Map<string, Trace>();

  note(trace: Trace, transferIds: readonly string[]): void {
    for (const id of transferIds.slice(0, TRANSFERS_REMEMBERED)) this.#traces.set(id, trace);
    for (const id of this.#traces.keys()) {
      if (this.#traces.size <= TRANSFERS_REMEMBERED) return;
      this.#traces.delete(id);
    }
  }

  of(transferId: string | null): Trace | undefined {
    return transferId === null ? undefined : this.#traces.get(transferId);
  }
}
