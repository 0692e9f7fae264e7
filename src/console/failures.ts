// Why a transfer was refused, in words, and what a person may do about it.

export const FAILURES: Readonly<Record<string, string>> = {
  hold_not_open: 'The hold has ended before: it was captured, voided, or it expired.',
  hold_expired: 'The hold reached its expiry before it was captured. Make a new hold.',
  exceeds_hold: 'The capture is more than remains of the hold. Capture less.',
  not_reversible: 'The original has not completed, or it is neither a transfer nor a capture.',
  exceeds_original: 'The reversal is more than remains of the original. Reverse less.',
  source_not_found: 'There is no account with the number of the sender. Check the number.',
  destination_not_found: 'There is no account with the number of the recipient. Check the number.',
  source_closed: 'The account of the sender is closed.',
  destination_closed: 'The account of the recipient is closed.',
  source_frozen: 'The account of the sender may not send: it is frozen, or may only receive.',
  destination_frozen: 'The account of the recipient is frozen.',
  currency_mismatch: 'The accounts have different currencies, or another one than the transfer names.',
  entry_number_mismatch: 'The account of the sender has changed since the caller read it. Read it, and order again.',
  insufficient_funds: 'The sender has less available than the amount.',
  min_available_not_met: 'The sender would keep less than the transfer requires.',
  balance_out_of_bounds: 'A balance would be larger than the service can hold.',
  group_failed: 'Another transfer of the same atomic group was refused, so none was made. Look at the others.',
  cannot_be_settled: 'The transfer could not be settled for a technical reason. The log of the service names it.',
};

/** The words for a code. A newer service may have codes that this page does not know. */
export function explainFailure(code: string): string {
  return FAILURES[code] ?? 'The service refused it.';
}
