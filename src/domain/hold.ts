// A hold: money authorized but not yet moved.
//
//   open ──▶ captured   its last part was captured, or a final capture released the rest
//       ├──▶ voided     the rest was released by a void
//       └──▶ expired    the rest was released at its expiry
//
// captured + released never exceeds the amount, and reaches it when the hold ends.

export const HOLD_STATES = ['open', 'captured', 'voided', 'expired'] as const;

export type HoldState = (typeof HOLD_STATES)[number];

/** A hold under lock of its source account. Money in minor units. */
export type Hold = {
  readonly id: string;
  readonly state: HoldState;
  readonly amount: bigint;
  readonly captured: bigint;
  readonly released: bigint;
  /** Whether its expiry had passed, by the clock of its ledger, when it was read. */
  readonly due: boolean;
};

/** The amount that may still be captured, in minor units. */
export function remainingOf(hold: Pick<Hold, 'amount' | 'captured' | 'released'>): bigint {
  return hold.amount - hold.captured - hold.released;
}

/** A settled transfer that may be reversed, under lock of its accounts. Money in minor units. */
export type ReversibleTransfer = { readonly id: string; readonly amount: bigint; readonly reversed: bigint };
