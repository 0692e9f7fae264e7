// Shared by the rules of the judge.

/** A statement that selects the rows that break a rule. */
export type Rule = {
  /** The number of the promise in docs/ARCHITECTURE.md. */
  readonly promise: number;
  /** What must be true. */
  readonly rule: string;
  readonly sql: string;
  readonly parameters?: readonly unknown[];
};

/** The kinds of transfers that move money, and so have entries. */
export const MOVING = `('transfer', 'capture', 'reversal')`;

/** Transfers beside the entries that they name. */
export const TRANSFERS_WITH_ENTRIES = `
  transfers as t
  left join entries as f
    on f.ledger_id = t.ledger_id and f.account_number = t.from_account and f.currency = t.currency and f.entry_number = t.from_entry_number
  left join entries as g
    on g.ledger_id = t.ledger_id and g.account_number = t.to_account and g.currency = t.currency and g.entry_number = t.to_entry_number`;
