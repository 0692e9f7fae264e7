// What reads know of archived months: their entries are in files, so questions that need one of them are refused. Balances at
// the ends of months are sealed, and transfers stay.
import type { Ledger } from '../../domain/ledger.ts';
import type { Queryable } from '../connection/connect.ts';
import { isMonthEnd, lastJournalNumber } from './history.ts';

/** `journalNumber`: the last row of the archived months. `ends`: the first instant after them, RFC 3339. */
export type ArchiveEnd = { readonly journalNumber: bigint; readonly ends: string };

/** The answer needs entries that are archived. */
export class ArchivedError extends Error {
  readonly end: ArchiveEnd;

  constructor(end: ArchiveEnd) {
    super(
      `The entries that were settled before ${end.ends} are archived: ask about that instant or later, about the balance at the end of a month, or read the archived files.`,
    );
    this.end = end;
  }
}

const END = `
  select journal_number, to_char(month + interval '1 month', 'YYYY-MM-DD"T"HH24:MI:SS"Z"') as ends
  from archived_months
  where ledger_id = $1::integer
  order by month desc
  limit 1`;

/** Where the archived months of a ledger end; null if it has none. */
export async function loadArchiveEnd(connection: Queryable, ledger: Ledger): Promise<ArchiveEnd | null> {
  type Row = { journal_number: bigint; ends: string };
  const { rows } = await connection.query<Row>({ name: 'load archive end', text: END, values: [ledger.id] });
  return rows.map(({ journal_number: journalNumber, ends }) => ({ journalNumber, ends }))[0] ?? null;
}

const POINT = `
  select ${isMonthEnd('$1::integer', 'point.number')} as is_sealed, point.number
  from (select ${lastJournalNumber('$1::integer', '<=', '$2::timestamptz')} as number) as point`;

/**
 * Throws an ArchivedError if balances at an instant (no more than six decimals) need archived entries. Those at the ends of
 * months are sealed.
 */
export async function refuseArchivedBalance(connection: Queryable, ledger: Ledger, at: string): Promise<void> {
  const end = await loadArchiveEnd(connection, ledger);
  if (end === null) return;
  const { rows } = await connection.query<{ is_sealed: boolean; number: bigint }>(POINT, [ledger.id, at]);
  const [point] = rows;
  if (point && point.number < end.journalNumber && !point.is_sealed) throw new ArchivedError(end);
}

/** Throws an ArchivedError if what was settled from an instant on (RFC 3339) is in part archived. */
export async function refuseArchivedEntries(connection: Queryable, ledger: Ledger, since: string): Promise<void> {
  const end = await loadArchiveEnd(connection, ledger);
  if (end !== null && Date.parse(since) < Date.parse(end.ends)) throw new ArchivedError(end);
}
