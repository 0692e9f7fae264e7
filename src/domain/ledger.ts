// A ledger: one set of books, with its accounts, its @external, its journal, its idempotency keys and its feed.

export type Ledger = { readonly id: number; readonly name: string };

/** The ledger that exists from the start, and is meant where none is named. */
export const MAIN_LEDGER: Ledger = { id: 1, name: 'main' };
