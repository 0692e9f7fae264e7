// The answers about entries and balances of accounts.
import { z } from 'zod';
import type { AccountRecord } from '../../db/ledger/accounts.ts';
import type { Entry } from '../../db/queries/entries.ts';
import { instant, minorUnits } from '../../render/json.ts';

export const entryView = z.object({
  object: z.literal('entry'),
  entry_number: z.int(),
  transfer_id: z.uuid(),
  amount: minorUnits,
  balance: minorUnits.describe('The balance after this entry.'),
  journal_number: z.int(),
  settled_at: instant,
});

export function renderEntry(entry: Entry): z.input<typeof entryView> {
  return {
    object: 'entry',
    entry_number: Number(entry.entryNumber),
    transfer_id: entry.transferId,
    amount: Number(entry.amount),
    balance: Number(entry.balance),
    journal_number: Number(entry.journalNumber),
    settled_at: entry.settledAt,
  };
}

export const balanceView = z.object({
  object: z.literal('balance'),
  account_number: z.string(),
  currency: z.string(),
  at: z.string().nullable(),
  balance: minorUnits,
  entry_number: z.int().describe('The last entry up to then; 0 if there was none.'),
});

/** The balance of an account at an instant, or now if `at` is null. */
export function renderBalance(
  account: Pick<AccountRecord, 'accountNumber' | 'currency'>,
  at: string | null,
  { balance, entryNumber }: { balance: bigint; entryNumber: bigint },
): z.input<typeof balanceView> {
  return {
    object: 'balance',
    account_number: account.accountNumber,
    currency: account.currency,
    at,
    balance: Number(balance),
    entry_number: Number(entryNumber),
  };
}
