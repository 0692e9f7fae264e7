// A transfer: an order to move a positive amount from one account to another.
//
//   pending ──settlement──▶ completed
//                      └──▶ failed        (kept, with the code of the rule that refused it)
//
// completed and failed are final: nothing leads out of them.

/** An accepted order, as settlement judges it. */
export type Order = {
  readonly id: string;
  readonly fromAccount: string;
  readonly toAccount: string;
  /** Minor units, at least 1. */
  readonly amount: bigint;
  /** Null: whatever currency the accounts have. */
  readonly currency: string | null;
};

/** The rules that need the books, in the order in which they refuse. */
export const FAILURE_CODES = [
  'source_not_found',
  'destination_not_found',
  'source_closed',
  'destination_closed',
  'currency_mismatch',
  'insufficient_funds',
  'balance_out_of_bounds',
  // Not a rule of business: the order broke settlement itself, alone in its job, and an operator was told.
  'cannot_be_settled',
] as const;

export type FailureCode = (typeof FAILURE_CODES)[number];

/** How a transfer ended. */
export type Outcome =
  | {
      readonly ok: true;
      readonly currency: string;
      readonly fromEntryNumber: bigint;
      readonly fromBalance: bigint;
      readonly toEntryNumber: bigint;
      readonly toBalance: bigint;
    }
  | { readonly ok: false; readonly code: FailureCode; readonly currency: string | null };
