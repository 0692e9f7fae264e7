// The trial balance: the sums of all accounts of a ledger, per currency. One statement, so one snapshot; only its few
// sums leave the database.
import type { Ledger } from '../../domain/ledger.ts';
import type { Queryable } from '../connection/connect.ts';
import { refuseArchivedBalance } from './archive.ts';
import { isMonthEnd, lastEntryUpTo, lastJournalNumber } from './history.ts';
import { roundDown } from './instants.ts';
import { journalEnd } from './journal-end.ts';

/** All accounts of one currency that have entries. Money in minor units; the sums have no upper bound. */
export type CurrencyTotals = {
  readonly currency: string;
  readonly accountCount: number;
  /** The sum of the balances above zero, and of those below. */
  readonly positive: bigint;
  readonly negative: bigint;
};

export type TrialBalance = {
  /** The last row of the journal that counts, 0 if there is none, and when it was settled. */
  readonly journalNumber: bigint;
  readonly settledAt: string | null;
  readonly currencies: readonly CurrencyTotals[];
};

// The current state of the accounts is that of their last entries, and the head is of the same snapshot.
const NOW = {
  point: `(select number from ${journalEnd('$1::integer')} as head)`,
  isSealed: 'false',
  last: 'lateral (select accounts.entry_count as entry_number, accounts.balance)',
};

const AT = {
  point: lastJournalNumber('$1::integer', '<=', '$2::timestamptz'),
  isSealed: isMonthEnd('$1::integer', 'ending.journal_number'),
  last: lastEntryUpTo('$1::integer', 'point.journal_number'),
};

// The left join keeps the point's row if no account had entries yet.
const TRIAL_BALANCE = ({ point, isSealed, last }: typeof NOW) => `
  with ending as materialized (
    select ${point} as journal_number
  ), point as materialized (
    select journal_number, ${isSealed} as is_sealed
    from ending
  ), totals as (
    -- The totals of a closed month; then no account is read.
    select currency, account_count, positive::text, negative::text
    from point
    join sealed_totals
      on sealed_totals.ledger_id = $1::integer and sealed_totals.journal_number = point.journal_number
    where point.is_sealed
    union all
    select accounts.currency, count(*) as account_count,
      coalesce(sum(last.balance) filter (where last.balance > 0), 0)::text as positive,
      coalesce(sum(last.balance) filter (where last.balance < 0), 0)::text as negative
    from accounts
    cross join point
    cross join ${last} as last
    where accounts.ledger_id = $1::integer and last.entry_number > 0 and not (select is_sealed from point)
    group by accounts.currency
  )
  select point.journal_number, journal.settled_at, totals.currency, totals.account_count, totals.positive, totals.negative
  from point
  left join journal on journal.ledger_id = $1::integer and journal.number = point.journal_number
  left join totals on true
  order by totals.currency`;

/** The trial balance of a ledger at an instant (RFC 3339), or now. It is final if the instant was closed before. */
export async function loadTrialBalance(
  connection: Queryable,
  ledger: Ledger,
  at: string | null,
): Promise<TrialBalance> {
  if (at !== null) await refuseArchivedBalance(connection, ledger, roundDown(at));
  const result = await connection.query<{
    journal_number: bigint;
    settled_at: string | null;
    currency: string | null;
    account_count: bigint;
    positive: string;
    negative: string;
  }>(TRIAL_BALANCE(at === null ? NOW : AT), at === null ? [ledger.id] : [ledger.id, roundDown(at)]);
  const [first] = result.rows;
  return {
    journalNumber: first?.journal_number ?? 0n,
    settledAt: first?.settled_at ?? null,
    currencies: result.rows.flatMap((row) =>
      row.currency === null
        ? []
        : {
            currency: row.currency,
            accountCount: Number(row.account_count),
            positive: BigInt(row.positive),
            negative: BigInt(row.negative),
          },
    ),
  };
}
