// Archives closed months: records where their books are, and deletes the entries that their transfers imply. The owner of the
// tables runs it. Each step can be repeated.
import type { Ledger } from '../../domain/ledger.ts';
import type { Queryable } from '../connection/connect.ts';
import { recordAdministration } from './administration.ts';

/** A closed month that is not archived. */
export type ArchivableMonth = {
  /** Such as 2026-10. */
  readonly month: string;
  /** The rows of the journal after this one, up to `journalNumber`, are those of the month. */
  readonly after: bigint;
  readonly journalNumber: bigint;
};

/** Bounds the time of one statement, and of one transaction. */
const PAGE_ACCOUNTS = 500;
const PAGE_ENTRIES = 20_000;
const TRANSACTION_MS = 2000;

const NEXT = `
  select to_char(month, 'YYYY-MM') as month, journal_number,
    (select coalesce(max(journal_number), 0) from archived_months where ledger_id = $1::integer) as after
  from closed_months
  where ledger_id = $1::integer
    and month > coalesce((select max(month) from archived_months where ledger_id = $1::integer), '-infinity')
  order by closed_months.month
  limit 1`;

/** The first closed month that is not archived; null if there is none. */
export async function findNextToArchive(connection: Queryable, ledger: Ledger): Promise<ArchivableMonth | null> {
  type Row = { month: string; journal_number: bigint; after: bigint };
  const { rows } = await connection.query<Row>(NEXT, [ledger.id]);
  return rows.map(({ month, after, journal_number: journalNumber }) => ({ month, after, journalNumber }))[0] ?? null;
}

const INSERT = `
  insert into archived_months (ledger_id, month, journal_number, digest)
  values ($1::integer, ($2::text || '-01')::date, $3::bigint, decode($4::text, 'hex'))`;

/** Records that a month is archived, in the audit log as well. `digest`: in hexadecimal. Run it in a transaction. */
export async function recordArchive(
  connection: Queryable,
  ledger: Ledger,
  actor: string,
  { month, journalNumber, digest }: Omit<ArchivableMonth, 'after'> & { readonly digest: string },
): Promise<void> {
  await connection.query(INSERT, [ledger.id, month, journalNumber, digest]);
  await recordAdministration(connection, ledger, {
    action: 'ledger.month_archived',
    actor,
    subject: ledger.name,
    details: { month, journal_number: String(journalNumber), sha256: digest },
  });
}

// The last entry of each account in the archived months stays: what comes after it continues it. Its number is sealed.
const DELETE = `
  with page as materialized (
    select account_number, currency, max(entry_number) as last
    from sealed_balances
    where ledger_id = $1::integer and (account_number, currency) > ($2::text, $3::text)
      and journal_number <= (select max(journal_number) from archived_months where ledger_id = $1::integer)
    group by account_number, currency
    order by account_number, currency
    limit ${PAGE_ACCOUNTS}
  ), found as materialized (
    select page.account_number, page.currency, before.entry_number
    from page
    cross join lateral (
      select entry_number
      from entries
      where entries.ledger_id = $1::integer and entries.account_number = page.account_number
        and entries.currency = page.currency and entries.entry_number < page.last
      order by entries.entry_number
      limit ${PAGE_ENTRIES}
    ) as before
    limit ${PAGE_ENTRIES}
  ), deleted as (
    delete from entries
    using found
    where entries.ledger_id = $1::integer and entries.account_number = found.account_number
      and entries.currency = found.currency and entries.entry_number = found.entry_number
    returning entries.entry_number
  )
  select (select count(*) from deleted) as deleted,
    (select account_number from page order by account_number desc, currency desc limit 1) as account_number,
    (select currency from page order by account_number desc, currency desc limit 1) as currency`;

/** After which account the deletion goes on. */
export type Place = readonly [accountNumber: string, currency: string];
export const FIRST_PLACE: Place = ['', ''];

/**
 * Deletes entries of archived months from a place on, for about two seconds, and returns how many, and where to go on; null:
 * none is left. Run it in a transaction: it grants the right to itself, and takes it again.
 */
export async function deleteArchived(
  connection: Queryable,
  ledger: Ledger,
  from: Place,
): Promise<{ readonly deleted: bigint; readonly next: Place | null }> {
  type Row = { deleted: bigint; account_number: string | null; currency: string | null };
  await connection.query('grant delete on entries to current_user');
  const deadline = performance.now() + TRANSACTION_MS;
  let next: Place | null = from;
  let deleted = 0n;
  while (next !== null && performance.now() < deadline) {
    const [row]: Row[] = (await connection.query<Row>(DELETE, [ledger.id, ...next])).rows;
    deleted += row?.deleted ?? 0n;
    // A page is left once none of its entries remains.
    if (row && row.deleted > 0n) continue;
    next = row?.account_number && row.currency ? [row.account_number, row.currency] : null;
  }
  await connection.query('revoke delete on entries from current_user');
  return { deleted, next };
}
