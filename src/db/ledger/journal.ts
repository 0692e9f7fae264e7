// Appends to a ledger's journal, as a statement and a fragment of the next one. Nothing else appends to it.
import type { Ledger } from '../../domain/ledger.ts';
import type { Queryable } from '../connection/connect.ts';
import { ledgerTime } from '../queries/instants.ts';
import { journalEnd } from '../queries/journal-end.ts';

/** The parts of a row, each as an SQL expression without references to columns. */
export type JournalExpressions = {
  readonly ledgerId: string;
  /** The ledger's name, which the row's hash covers. */
  readonly ledger: string;
  /** The row's time of settlement, unless the journal is already past it, or the ledger has a test clock. */
  readonly instant: string;
  readonly transferCount: string;
  /** How many of the transfers came from pending_transfers. */
  readonly intakeCount: string;
  readonly changeCount: string;
  readonly digest: string;
  /** The row is appended if this condition is true. Absent: in any case. */
  readonly condition?: string;
};

const LOCK = `
  select
  from journal_head
  where ledger_id = $1::integer
  for no key update`;

/**
 * The statement that locks a ledger's journal until the commit, so that numbers are in commit order, without gaps. The
 * appending statement must follow: it then sees the last row. Take this lock after all others.
 *
 * The locked row does not change. If each job wrote its end into it, an open snapshot would keep every version.
 */
export function journalLock({ id }: Ledger): { name: string; text: string; values: unknown[] } {
  return { name: 'lock journal', text: LOCK, values: [id] };
}

/** Sends the lock. */
export async function lockJournal(connection: Queryable, ledger: Ledger): Promise<void> {
  await connection.query(journalLock(ledger));
}

/**
 * The common table expressions that append one row to the journal of a ledger, which is locked. The last one,
 * `journaled`, has its number and settled_at.
 */
export function appendToJournal(row: JournalExpressions): string {
  const { ledgerId, ledger, instant, transferCount, intakeCount, changeCount, digest, condition } = row;
  return `
  next as materialized (
    select number + 1 as number, hash as previous_hash, ${ledgerTime(instant)} as settled_at
    from ${journalEnd(ledgerId)} as head${
      condition === undefined
        ? ''
        : `
    where ${condition}`
    }
  ), journaled as (
    insert into journal (
      ledger_id, number, settled_at, transfer_count, intake_count, change_count, digest, previous_hash, hash
    )
    select ${ledgerId}, number, settled_at, ${transferCount}, ${intakeCount}, ${changeCount}, ${digest}, previous_hash,
      chain_hash(previous_hash, ${ledger}, number, settled_at, ${transferCount}, ${changeCount}, ${digest})
    from next
    returning number, settled_at
  )`;
}
