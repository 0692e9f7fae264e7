// Reads an account's statement of one month (UTC, by the journal's settled_at). One statement finds the range of the
// month's entry numbers. The entries of that range never change, so they are read in batches. No transaction, snapshot
// or cursor stays open, however slow the reader is, and a million entries need little memory.
import type { Ledger } from '../../domain/ledger.ts';
import type { TransferKind } from '../../domain/transfer.ts';
import { DamagedBooksError } from '../connection/errors.ts';
import type { Queryable } from '../connection/connect.ts';
import { ArchivedError, loadArchiveEnd } from './archive.ts';
import { isMonthEnd, lastEntryUpTo, lastJournalNumber } from './history.ts';
import { CLOSED_UNTIL, ledgerTime } from './instants.ts';
import { personalKey, type PersonalRow, readPersonalData } from './personal-data.ts';
import { journalEnd } from './journal-end.ts';

/** A statement without its entries. Money in minor units. */
export type StatementSummary = {
  readonly ledger: Ledger;
  readonly accountNumber: string;
  /** Null: erased. */
  readonly name: string | null;
  readonly currency: string;
  /** Such as 2026-11. */
  readonly month: string;
  /** The month's first instant, and the next month's. */
  readonly begins: string;
  readonly ends: string;
  /** Whether the journal is closed past the month, so that nothing can be added to it any more. */
  readonly final: boolean;
  readonly openingBalance: bigint;
  readonly closingBalance: bigint;
  readonly totalIn: bigint;
  /** Not negative: the amount that left the account. */
  readonly totalOut: bigint;
  /** The last entry before the month, and the last one in it; equal if the month has none. */
  readonly openingEntryNumber: bigint;
  readonly closingEntryNumber: bigint;
};

export type StatementEntry = {
  readonly entryNumber: bigint;
  readonly settledAt: string;
  readonly transferId: string;
  readonly kind: TransferKind;
  readonly counterparty: string;
  readonly description: string | null;
  readonly amount: bigint;
  readonly balance: bigint;
};

const BATCH_ROWS = 1000;

// A month is over when the journal says so, not the clock: a job may have read the clock before midnight and commit
// after.
const SUMMARY = `
  with month as materialized (
    select begins, begins + interval '1 month' as ends
    from (select ($3::text || '-01T00:00:00Z')::timestamptz as begins) as first
  ), bounds as materialized (
    select begins, ends,
      ${lastJournalNumber('$4::integer', '<', 'begins')} as opening,
      ${lastJournalNumber('$4::integer', '<', 'ends')} as closing,
      (select ${CLOSED_UNTIL} from ${journalEnd('$4::integer')} as head) >= ends as final
    from month
    where begins <= (select ${ledgerTime('clock_timestamp()')} from ${journalEnd('$4::integer')} as head)
  ), month_end as materialized (
    select ${isMonthEnd('$4::integer', 'bounds.opening')} as is_opening, ${isMonthEnd('$4::integer', 'bounds.closing')} as is_closing
    from bounds
  )
  select accounts.account_number, accounts.currency, accounts.personal_data,
    ${personalKey('$4::integer', 'accounts')} as key, bounds.begins, bounds.ends, bounds.final,
    opening.entry_number as opening_entry_number, opening.balance as opening_balance,
    closing.entry_number as closing_entry_number, closing.balance as closing_balance,
    totals.total_in, totals.total_out
  from accounts
  cross join bounds
  cross join month_end
  cross join ${lastEntryUpTo('$4::integer', 'bounds.opening', 'month_end.is_opening')} as opening
  cross join ${lastEntryUpTo('$4::integer', 'bounds.closing', 'month_end.is_closing')} as closing
  cross join lateral (
    select coalesce(sum(amount) filter (where amount > 0), 0)::text as total_in,
      coalesce(-sum(amount) filter (where amount < 0), 0)::text as total_out
    from entries
    where entries.ledger_id = $4::integer
      and entries.account_number = accounts.account_number
      and entries.currency = accounts.currency
      and entries.entry_number > opening.entry_number
      and entries.entry_number <= closing.entry_number
  ) as totals
  where accounts.ledger_id = $4::integer and accounts.account_number = $1::text and accounts.currency = $2::text`;

const ENTRIES = `
  select entries.entry_number, journal.settled_at, entries.transfer_id, transfers.kind,
    case when entries.amount < 0 then transfers.to_account else transfers.from_account end as counterparty,
    transfers.description, entries.amount, entries.balance
  from entries
  join journal on journal.ledger_id = $5::integer and journal.number = entries.journal_number
  join transfers on transfers.ledger_id = $5::integer and transfers.id = entries.transfer_id
  where entries.ledger_id = $5::integer
    and entries.account_number = $1::text
    and entries.currency = $2::text
    and entries.entry_number > $3::bigint
    and entries.entry_number <= $4::bigint
  order by entries.entry_number
  limit ${BATCH_ROWS}`;

/**
 * The summary of an account's statement, or null if the month (such as 2026-11) has not begun by the ledger's clock.
 * Throws an ArchivedError if the month is archived.
 */
export async function loadStatement(
  connection: Queryable,
  ledger: Ledger,
  account: { accountNumber: string; currency: string },
  month: string,
): Promise<StatementSummary | null> {
  const { accountNumber, currency } = account;
  const archive = await loadArchiveEnd(connection, ledger);
  if (archive !== null && month < archive.ends.slice(0, 'YYYY-MM'.length)) throw new ArchivedError(archive);
  type Row = PersonalRow & {
    begins: string;
    ends: string;
    final: boolean;
    opening_entry_number: bigint;
    opening_balance: bigint;
    closing_entry_number: bigint;
    closing_balance: bigint;
    total_in: string;
    total_out: string;
  };
  const result = await connection.query<Row>(SUMMARY, [accountNumber, currency, month, ledger.id]);
  const row = result.rows[0];
  return row
    ? {
        ledger,
        accountNumber,
        name: readPersonalData(ledger.id, row)?.name ?? null,
        currency,
        month,
        begins: row.begins,
        ends: row.ends,
        final: row.final,
        openingBalance: row.opening_balance,
        closingBalance: row.closing_balance,
        totalIn: BigInt(row.total_in),
        totalOut: BigInt(row.total_out),
        openingEntryNumber: row.opening_entry_number,
        closingEntryNumber: row.closing_entry_number,
      }
    : null;
}

/** The entries of a statement in their order, in batches. */
export async function* readStatement(
  connection: Queryable,
  summary: StatementSummary,
): AsyncGenerator<readonly StatementEntry[]> {
  let after = summary.openingEntryNumber;
  while (after < summary.closingEntryNumber) {
    const batch = await loadBatch(connection, summary, after);
    const last = batch.at(-1);
    if (last === undefined)
      throw new DamagedBooksError(`The entries of an account end at ${after}: they have a gap; run gopherpay audit.`);
    yield batch;
    after = last.entryNumber;
  }
}

async function loadBatch(
  connection: Queryable,
  summary: StatementSummary,
  after: bigint,
): Promise<readonly StatementEntry[]> {
  const result = await connection.query<{
    entry_number: bigint;
    settled_at: string;
    transfer_id: string;
    kind: TransferKind;
    counterparty: string;
    description: string | null;
    amount: bigint;
    balance: bigint;
  }>(ENTRIES, [summary.accountNumber, summary.currency, after, summary.closingEntryNumber, summary.ledger.id]);
  return result.rows.map((row) => ({
    entryNumber: row.entry_number,
    settledAt: row.settled_at,
    transferId: row.transfer_id,
    kind: row.kind,
    counterparty: row.counterparty,
    description: row.description,
    amount: row.amount,
    balance: row.balance,
  }));
}
