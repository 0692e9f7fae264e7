// The view of the trial balance, and its renderer; views.ts has the views of other answers.
import { z } from 'zod';
import type { CurrencyTotals, TrialBalance } from '../../db/queries/balances.ts';
import { exactInteger, instant, sumOfMoney } from '../../render/json.ts';

export const totalsView = z.object({
  currency: z.string(),
  account_count: z.int().describe('Accounts that had entries, @external among them.'),
  positive: sumOfMoney,
  negative: sumOfMoney,
  sum: sumOfMoney.describe('Always 0.'),
});

export const trialBalanceView = z.object({
  object: z.literal('trial_balance'),
  at: z.string().nullable(),
  journal_number: z.int().describe('The last row of the journal that counts.'),
  settled_at: instant.nullable(),
  currencies: z.array(totalsView),
});

/** The balances of all accounts together; `at` is the requested instant, or null for now. */
export function renderTrialBalance(at: string | null, balance: TrialBalance): z.input<typeof trialBalanceView> {
  return {
    object: 'trial_balance',
    at,
    journal_number: Number(balance.journalNumber),
    settled_at: balance.settledAt,
    currencies: balance.currencies.map(renderTotals),
  };
}

function renderTotals(totals: CurrencyTotals): z.input<typeof totalsView> {
  return {
    currency: totals.currency,
    account_count: totals.accountCount,
    positive: exactInteger(totals.positive),
    negative: exactInteger(totals.negative),
    sum: exactInteger(totals.positive + totals.negative),
  };
}
