// A ledger: one set of books, with accounts, a journal, idempotency keys and a feed of its own.

/**
 * `id` leads every key of the database, and is never shown to callers. `name` is in paths, commands and the journal's
 * hashes.
 */
export type Ledger = {
  readonly id: number;
  readonly name: string;
  /** Only where a request names the ledger, and only if it has a test clock. Never changes. */
  readonly hasTestClock?: true;
};

/** The ledger of every path and command that names none. It exists from the start. */
export const MAIN_LEDGER: Ledger = { id: 1, name: 'main' };

export const LEDGER_NAME_FORM = /^[a-z0-9][a-z0-9_-]{0,62}$/;

/** Whether a text can be the name of a ledger. */
export function isLedgerName(text: string): boolean {
  return LEDGER_NAME_FORM.test(text);
}

/** manual: a test clock, which stands still until a caller advances it. */
export const CLOCKS = ['real', 'manual'] as const;
