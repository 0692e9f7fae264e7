// Appends to a ledger's journal, as a fragment of a statement. Nothing else appends to it.
import { ledgerTime } from '../queries/instants.ts';

/** The parts of a row, each as an SQL expression without references to columns. */
export type JournalExpressions = {
  readonly ledgerId: string;
  /** The ledger's name, which the row's hash covers. */
  readonly ledger: string;
  /**
   * The row's time of settlement, unless the journal is already past it, or the ledger has a test clock. Each
   * evaluation must give the same value, so not clock_timestamp().
   */
  readonly instant: string;
  readonly transferCount: string;
  /** How many of the transfers came from pending_transfers. */
  readonly intakeCount: string;
  readonly changeCount: string;
  readonly digest: string;
  /** A condition that is always true. It refers to the parts of the statement that must run first. */
  readonly after?: string;
};

/**
 * The common table expressions that append one row to the journal of a ledger. The last one, `journaled`, has its
 * number and settled_at. The head's row is locked from here to the commit, so numbers are in commit order, without
 * gaps. Take this lock after all others.
 */
export function appendToJournal(row: JournalExpressions): string {
  const settledAt = ledgerTime(row.instant);
  return `
  advanced as (
    update journal_head
    set number = number + 1,
      settled_at = ${settledAt},
      previous_hash = hash,
      hash = chain_hash(
        hash, ${row.ledger}, number + 1, ${settledAt}, ${row.transferCount}, ${row.changeCount}, ${row.digest}
      )
    where ledger_id = ${row.ledgerId}${row.after === undefined ? '' : ` and ${row.after}`}
    returning number, settled_at, previous_hash, hash
  ), journaled as (
    insert into journal (
      ledger_id, number, settled_at, transfer_count, intake_count, change_count, digest, previous_hash, hash
    )
    select ${row.ledgerId}, number, settled_at, ${row.transferCount}, ${row.intakeCount}, ${row.changeCount}, ${row.digest},
      previous_hash, hash
    from advanced
    returning number, settled_at
  )`;
}
