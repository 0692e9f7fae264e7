// Reads the entries of an account, and its balance at an instant.
import type { Ledger } from '../../domain/ledger.ts';
import type { Queryable } from '../connection/connect.ts';
import { ArchivedError, loadArchiveEnd, refuseArchivedBalance, refuseArchivedEntries } from './archive.ts';
import { isMonthEnd, lastEntryUpTo, lastJournalNumber } from './history.ts';
import { roundDown, roundUp } from './instants.ts';

export type Entry = {
  readonly entryNumber: bigint;
  readonly transferId: string;
  readonly amount: bigint;
  readonly balance: bigint;
  readonly journalNumber: bigint;
  readonly settledAt: string;
};

export type EntryPage = {
  readonly limit: number;
  readonly after: bigint | null;
  readonly newestFirst: boolean;
  readonly since?: string | null;
  readonly until?: string | null;
};

/** `isCut`: earlier entries are archived, so the list goes on, although no more can be read. */
export type EntryList = { readonly entries: readonly Entry[]; readonly isCut: boolean };

/**
 * At most `limit` entries of an account, from the one after `after` on, newest or oldest first. `since` (inclusive) and
 * `until` (exclusive) are instants of settlement, RFC 3339. Throws an ArchivedError if the next entry is archived.
 */
export async function listEntries(
  connection: Queryable,
  ledger: Ledger,
  account: { accountNumber: string; currency: string },
  page: EntryPage,
): Promise<EntryList> {
  for (const instant of [page.since, page.until]) {
    if (instant) await refuseArchivedEntries(connection, ledger, instant);
  }
  const entries = await selectEntries(connection, ledger, account, page);
  const { limit, after, newestFirst, since = null } = page;
  const [first, last] = [entries[0], entries.at(-1)];
  if (since !== null || entries.length === limit) return { entries, isCut: false };
  // Entries are numbered without gaps: one that is missing is archived.
  const isCut = newestFirst
    ? (last?.entryNumber ?? after ?? 1n) > 1n
    : first !== undefined && first.entryNumber > (after ?? 0n) + 1n;
  const end = isCut ? await loadArchiveEnd(connection, ledger) : null;
  if (end === null) return { entries, isCut: false };
  if (!newestFirst || entries.length === 0) throw new ArchivedError(end);
  return { entries, isCut };
}

async function selectEntries(
  connection: Queryable,
  ledger: Ledger,
  account: { accountNumber: string; currency: string },
  page: EntryPage,
): Promise<Entry[]> {
  const { since = null, until = null } = page;
  const values: unknown[] = [account.accountNumber, account.currency, page.limit, ledger.id];
  const bind = (value: unknown) => `$${values.push(value)}`;
  const [comparison, direction] = page.newestFirst ? ['<', 'desc'] : ['>', 'asc'];
  const bounds = [
    ...(page.after === null ? [] : [`entry_number ${comparison} ${bind(page.after)}::bigint`]),
    ...(since === null ? [] : [`entry_number > ${lastEntryBefore(bind(roundUp(since)))}`]),
    ...(until === null ? [] : [`entry_number <= ${lastEntryBefore(bind(roundUp(until)))}`]),
  ];
  const result = await connection.query<{
    entry_number: bigint;
    transfer_id: string;
    amount: bigint;
    balance: bigint;
    journal_number: bigint;
    settled_at: string;
  }>(
    `select entry_number, transfer_id, amount, balance, journal_number, settled_at
     from entries
     join journal on journal.ledger_id = $4::integer and journal.number = entries.journal_number
     where entries.ledger_id = $4::integer and account_number = $1::text and currency = $2::text
       ${bounds.map((bound) => `and ${bound}`).join('\n       ')}
     order by entry_number ${direction}
     limit $3::integer`,
    values,
  );
  return result.rows.map((row) => ({
    entryNumber: row.entry_number,
    transferId: row.transfer_id,
    amount: row.amount,
    balance: row.balance,
    journalNumber: row.journal_number,
    settledAt: row.settled_at,
  }));
}

/** A sub-select: the number of the last entry of the listed account that was settled before an instant; 0: none. */
function lastEntryBefore(instant: string): string {
  return `(
    select last.entry_number
    from accounts
    cross join ${lastEntryUpTo('$4::integer', lastJournalNumber('$4::integer', '<', `${instant}::timestamptz`))} as last
    where ledger_id = $4::integer and account_number = $1::text and currency = $2::text
  )`;
}

const BALANCE_AT = `
  with point as materialized (
    select ${lastJournalNumber('$4::integer', '<=', '$3::timestamptz')} as journal_number
  ), instant as materialized (
    select journal_number, ${isMonthEnd('$4::integer', 'point.journal_number')} as is_sealed
    from point
  )
  select last.balance, last.entry_number
  from accounts
  cross join instant
  cross join ${lastEntryUpTo('$4::integer', 'instant.journal_number', 'instant.is_sealed')} as last
  where ledger_id = $4::integer and account_number = $1::text and currency = $2::text`;

/**
 * The balance at an instant (RFC 3339), and the number of the last entry up to it (0: none). It is final if the
 * instant was closed before. Throws an ArchivedError within archived months, but not at their ends.
 */
export async function loadBalanceAt(
  connection: Queryable,
  ledger: Ledger,
  account: { accountNumber: string; currency: string },
  at: string,
): Promise<{ balance: bigint; entryNumber: bigint }> {
  await refuseArchivedBalance(connection, ledger, roundDown(at));
  const result = await connection.query<{ balance: bigint; entry_number: bigint }>({
    name: 'load balance at',
    text: BALANCE_AT,
    values: [account.accountNumber, account.currency, roundDown(at), ledger.id],
  });
  const row = result.rows[0];
  return { balance: row?.balance ?? 0n, entryNumber: row?.entry_number ?? 0n };
}
