// Turns a window of acceptance times into a range of the journal, which is in order of settlement. There is no index on
// created_at: it would cost every transfer, and a list in journal order could not use it. Nearly all transfers are
// settled within seconds of their acceptance; the others have an index of their own (transfers_untimely).
import type { Ledger } from '../../domain/ledger.ts';
import type { Queryable } from '../connection/connect.ts';
import { lastEntryUpTo, lastJournalNumber } from './history.ts';
import { roundUp } from './instants.ts';

/** The predicate of the index transfers_untimely, word for word. */
export const UNTIMELY = "completed_at - created_at not between interval '0' and interval '10 seconds'";

/**
 * The timely transfers of a window lie between these, both exclusive; null: no bound. Rows that are added later stay
 * valid.
 */
export type JournalRange = {
  readonly afterNumber: bigint | null;
  readonly beforeNumber: bigint | null;
  /** The same bounds for the entries of the account, if the filter names one. */
  readonly afterEntry: bigint | null;
  readonly beforeEntry: bigint | null;
};

// An upper bound is the first row beyond the window, not the last row within it: so the range includes rows that are
// appended meanwhile.
const NUMBERS = `
  select
    case when $1::timestamptz is not null then ${lastJournalNumber('$3::integer', '<', '$1::timestamptz')} end as after_number,
    (
      select number
      from journal
      where ledger_id = $3::integer and settled_at >= $2::timestamptz + interval '10 seconds'
      order by settled_at, number
      limit 1
    ) as before_number`;

const ENTRIES = `
  select last_before.entry_number as after_entry, last_within.entry_number + 1 as before_entry
  from accounts
  cross join ${lastEntryUpTo('$5::integer', '$3::bigint')} as last_before
  cross join ${lastEntryUpTo('$5::integer', '($4::bigint - 1)')} as last_within
  where ledger_id = $5::integer and account_number = $1::text and currency = coalesce($2::text, currency)
  limit 1`;

/**
 * Finds the range for a window. The next statement gets the bounds as values: with known bounds the planner estimates a
 * range, with unknown ones it reads a whole table. Null if there is no window.
 */
export async function loadJournalRange(
  connection: Queryable,
  ledger: Ledger,
  filter: {
    since?: string | undefined;
    until?: string | undefined;
    account?: string | undefined;
    currency?: string | undefined;
  },
): Promise<JournalRange | null> {
  const { since = null, until = null, account, currency = null } = filter;
  if (since === null && until === null) return null;
  const numbers = await connection.query<{ after_number: bigint | null; before_number: bigint | null }>(NUMBERS, [
    since && roundUp(since),
    until && roundUp(until),
    ledger.id,
  ]);
  const { after_number: afterNumber = null, before_number: beforeNumber = null } = numbers.rows[0] ?? {};
  if (account === undefined) return { afterNumber, beforeNumber, afterEntry: null, beforeEntry: null };
  const entries = await connection.query<{ after_entry: bigint; before_entry: bigint }>(ENTRIES, [
    account,
    currency,
    afterNumber ?? 0n,
    beforeNumber ?? 0n,
    ledger.id,
  ]);
  const [found] = entries.rows;
  return {
    afterNumber,
    beforeNumber,
    afterEntry: found?.after_entry ?? null,
    beforeEntry: beforeNumber === null ? null : (found?.before_entry ?? null),
  };
}
