// Appends to a ledger's journal on Citus. A statement that writes several tables would be committed in two phases there,
// so each table gets a statement of its own, in one transaction.
import type { Ledger } from '../../domain/ledger.ts';
import { ledgerTime } from '../queries/instants.ts';
import { journalEnd } from '../queries/journal-end.ts';
import type { Statement } from './decided-job.ts';
import { journalLock } from './journal.ts';
import { micros } from './locked-job.ts';

/** As in `JournalExpressions`, as values. */
export type JournalValues = {
  readonly instant: string;
  readonly transferCount: number;
  readonly intakeCount: number;
  readonly changeCount: number;
  readonly digest: Buffer;
};

/** A row of the journal, as the statement that appended it returns it. */
export type AppendedRow = { readonly number: bigint; readonly settled_at: string; readonly settled_micros: bigint };

/** The statements that were sent to append a row, and the row, once all of them have been answered. */
export type SentEnd = { readonly sent: Promise<unknown>[]; readonly appended: () => Promise<AppendedRow> };

export function theHead(row: AppendedRow | undefined): AppendedRow {
  if (row === undefined) throw new Error('The journal has no head.');
  return row;
}

const APPEND = `
  insert into journal (
    ledger_id, number, settled_at, transfer_count, intake_count, change_count, digest, previous_hash, hash
  )
  select ledger_id, number, settled_at, $4::integer, $5::integer, $6::integer, $7::bytea, previous_hash,
    chain_hash(previous_hash, $2::text, number, settled_at, $4::integer, $6::integer, $7::bytea)
  from (
    select ledger_id, number + 1 as number, hash as previous_hash, ${ledgerTime('$3::timestamptz')} as settled_at
    from ${journalEnd('$1::integer')} as head
  ) as next`;

const APPENDED = `
  select number, settled_at, ${micros('settled_at')} as settled_micros
  from ${journalEnd('$1::integer')} as head`;

/**
 * The statements that append a row to the journal, in a transaction. The journal is locked from the first one to the
 * commit, and `read` returns the row.
 */
export function appendStatements(
  ledger: Ledger,
  { instant, transferCount, intakeCount, changeCount, digest }: JournalValues,
): { lock: Statement; insert: Statement; read: Statement } {
  const inserted = [ledger.id, ledger.name, instant, transferCount, intakeCount, changeCount, digest];
  return {
    lock: journalLock(ledger),
    insert: { name: 'append to journal', text: APPEND, values: inserted },
    read: { name: 'load journal end', text: APPENDED, values: [ledger.id] },
  };
}
